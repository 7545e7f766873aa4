/* The receiver of the benchmarks: one thread, epoll, keep-alive; it answers every request with 200.
 *
 * Built when needed by _ground.py. It prints its port and serves until its input ends. A request is
 * a head and Content-Length bytes; what else HTTP allows its callers do not send. Its arguments are
 * the port, 0 for any, and `watch`, with which it also takes down how late each request is by its Scheduler-Scheduled-For, and at each line of
 * input prints count, early ones, p50, p99 and the greatest since the last, in milliseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 65536
#define DESCRIPTORS_MAX 65536
#define STEPS_A_MS 20
#define STEPS_MAX (60000 * STEPS_A_MS)

struct peer {
    char *data;
    size_t length;
};

static struct peer peers[DESCRIPTORS_MAX];
static unsigned steps[STEPS_MAX + 1], taken, early;
static double latest;
static int watching;
static const char INSTANT[] = "\r\nscheduler-scheduled-for:";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void hang_up(int fd) {
    free(peers[fd].data);
    peers[fd].data = NULL;
    peers[fd].length = 0;
    close(fd);
}

/* Returns the length of the first whole request, 0 where it is not whole yet. */
static size_t request_length(struct peer *peer) {
    char *end = memmem(peer->data, peer->length, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    size_t head = (size_t)(end - peer->data) + 4, body = 0;
    for (char *line = peer->data; line < end; line++) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        if (strncasecmp(line, "content-length:", 15) == 0) body = strtoul(line + 15, NULL, 10);
        if (stop == NULL) break;
        line = stop;
    }
    return head + body <= peer->length ? head + body : 0;
}

static void take_down(const char *head) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char *found = strcasestr(head, INSTANT);
    struct tm at = {0};
    int millis = 0;
    if (found == NULL) return;
    if (sscanf(found + sizeof INSTANT - 1, " %d-%d-%dT%d:%d:%d.%3dZ", &at.tm_year, &at.tm_mon,
               &at.tm_mday, &at.tm_hour, &at.tm_min, &at.tm_sec, &millis) < 6)
        return;
    at.tm_year -= 1900;
    at.tm_mon -= 1;
    double late = (double)(now.tv_sec - timegm(&at)) * 1e3 + (double)now.tv_nsec / 1e6 - millis;
    taken++;
    if (late < 0) early++;
    if (late > latest) latest = late;
    double step = late < 0 ? 0 : late * STEPS_A_MS;
    steps[step < STEPS_MAX ? (int)step : STEPS_MAX]++;
}

/* The end of the step in which the given share of the requests was reached. */
static double late_at(double share) {
    unsigned seen = 0;
    for (int step = 0; step <= STEPS_MAX; step++)
        if ((seen += steps[step]) >= share * taken) return (step + 1.0) / STEPS_A_MS;
    return 0;
}

static void tell(void) {
    printf("%u %u %.2f %.2f %.2f\n", taken, early, late_at(0.5), late_at(0.99), latest);
    fflush(stdout);
    memset(steps, 0, sizeof steps);
    taken = early = 0;
    latest = 0;
}

static void serve(int fd) {
    struct peer *peer = &peers[fd];
    ssize_t got = read(fd, peer->data + peer->length, ROOM - peer->length);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) hang_up(fd);
        return;
    }
    peer->length += (size_t)got;
    size_t length;
    while ((length = request_length(peer)) > 0) {
        if (watching) take_down(peer->data);
        if (write(fd, ANSWER, sizeof ANSWER - 1) < 0) {
            hang_up(fd);
            return;
        }
        peer->length -= length;
        memmove(peer->data, peer->data + length, peer->length);
    }
    if (peer->length == ROOM) hang_up(fd);
}

static void greet(int listener, int poll) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS_MAX) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        peers[fd].data = calloc(ROOM + 1, 1);
        peers[fd].length = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int count_of_arguments, char **arguments) {
    watching = count_of_arguments > 2;
    struct rlimit most = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};
    setrlimit(RLIMIT_NOFILE, &most);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int again = 1;
    at.sin_port = htons(count_of_arguments > 1 ? (unsigned short)atoi(arguments[1]) : 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &again, sizeof again);
    socklen_t size = sizeof at;
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 4096)) return 1;
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = STDIN_FILENO;
    epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    for (;;) {
        int count = epoll_wait(poll, events, 512, -1);
        for (int n = 0; n < count; n++) {
            int fd = events[n].data.fd;
            if (fd == STDIN_FILENO) {
                char line;
                if (read(fd, &line, 1) <= 0) return 0;
                tell();
            } else if (fd == listener) greet(listener, poll);
            else serve(fd);
        }
    }
}
