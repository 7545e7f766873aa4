/* Calls an HTTP server at an even pace, on connections that are kept, and tells what was answered.
 *
 *     caller PORT RATE SECONDS CONNECTIONS REQUESTS
 *
 * REQUESTS is a file of requests as they go over the wire, each after a line with its length; they
 * are sent in turn. The n-th is due n/RATE seconds after the start, and its time counts from then,
 * so a server that is slow is not spared. It prints one line of JSON. A request fails where its
 * connection ends or 10 s pass before its answer is whole; it is not sent again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 65536, MOST = 512, TIMEOUT_MS = 10000 };

struct line {
    int fd, busy, length, connecting;
    double due, sent;
    char data[ROOM];
};

static struct line lines[MOST];
static struct pollfd polled[MOST];
static struct { char *text; int length; } requests[1024];
static int kinds, count, port;
static long statuses[600], failed, answered, opened;
static float *took;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void dial(struct line *one) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(one->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        close(one->fd);
        one->fd = -1;
        return;
    }
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    opened++;
}

static void hang_up(struct line *one) {
    if (one->fd >= 0) close(one->fd);
    one->fd = -1;
    if (one->busy) failed++;
    one->busy = one->length = 0;
}

/* Send the next request; a connection that can not be made is a failure too. */
static void ask(struct line *one, long number, double due) {
    if (one->fd < 0) dial(one);
    one->busy = 1;
    one->due = due;
    one->sent = now();
    one->length = 0;
    int kind = number % kinds, length = requests[kind].length;
    if (one->fd < 0 || send(one->fd, requests[kind].text, length, MSG_NOSIGNAL) != length) hang_up(one);
}

/* Take what has come; an answer is whole when its body has its length. */
static void hear(struct line *one) {
    ssize_t got = recv(one->fd, one->data + one->length, ROOM - 1 - one->length, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        hang_up(one);
        return;
    }
    one->length += got;
    one->data[one->length] = 0;
    char *end = strstr(one->data, "\r\n\r\n");
    if (end == NULL) return;
    char *field = strcasestr(one->data, "\r\ncontent-length:");
    long body = field != NULL && field < end ? atol(field + 17) : 0;
    if (one->length < end + 4 - one->data + body) return;
    int status = atoi(one->data + 9);
    statuses[status > 0 && status < 600 ? status : 0]++;
    took[answered++] = now() - one->due;
    one->busy = 0;
    field = strcasestr(one->data, "\r\nconnection: close");
    if (field != NULL && field < end) hang_up(one);
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "r");
    int length;
    if (file == NULL) exit(2);
    while (kinds < 1024 && fscanf(file, "%d", &length) == 1) {
        fgetc(file);
        requests[kinds].text = malloc(length);
        requests[kinds].length = fread(requests[kinds].text, 1, length, file);
        kinds++;
    }
    fclose(file);
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void tell(double seconds, long late) {
    qsort(took, answered, sizeof *took, by_size);
    printf("{\"seconds\": %.2f, \"answered\": %ld, \"failed\": %ld, \"opened\": %ld, \"waited\": %ld, ",
           seconds, answered, failed, opened, late);
    const char *names[] = {"p50_ms", "p99_ms", "p999_ms", "max_ms"};
    double shares[] = {0.5, 0.99, 0.999, 1};
    for (int i = 0; i < 4; i++) {
        long at = answered ? (long)((answered - 1) * shares[i]) : 0;
        printf("\"%s\": %.1f, ", names[i], answered ? took[at] * 1000 : 0.0);
    }
    printf("\"statuses\": {");
    const char *comma = "";
    for (int status = 0; status < 600; status++)
        if (statuses[status]) {
            printf("%s\"%d\": %ld", comma, status, statuses[status]);
            comma = ", ";
        }
    printf("}}\n");
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    port = atoi(argv[1]);
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    count = atoi(argv[4]) < MOST ? atoi(argv[4]) : MOST;
    read_requests(argv[5]);
    long wanted = rate * seconds, number = 0, late = 0;
    took = malloc(sizeof *took * (wanted + 1));
    for (int i = 0; i < count; i++) dial(&lines[i]);
    double began = now();
    int under_way = 0, next = 0;
    while (number < wanted || under_way) {
        double at = now();
        while (number < wanted && began + number / rate <= at) {
            int tried = 0;
            while (tried < count && lines[next].busy) next = (next + 1) % count, tried++;
            if (tried == count) break; /* all are under way: it waits, and its time runs */
            double due = began + number / rate;
            late += at - due > 0.005;
            ask(&lines[next], number++, due);
            next = (next + 1) % count;
        }
        double left = number < wanted ? began + number / rate - now() : 0.01;
        int wait = left > 0 ? (int)(left * 1000) + 1 : 1;
        for (int i = 0; i < count; i++) {
            polled[i].fd = lines[i].fd;
            polled[i].events = POLLIN;
        }
        poll(polled, count, wait < 10 ? wait : 10);
        under_way = 0;
        at = now();
        for (int i = 0; i < count; i++) {
            if (lines[i].fd >= 0 && polled[i].fd == lines[i].fd && polled[i].revents) hear(&lines[i]);
            if (lines[i].busy && at - lines[i].sent > TIMEOUT_MS / 1e3) hang_up(&lines[i]);
            under_way += lines[i].busy;
        }
    }
    tell(now() - began, late);
    return 0;
}
