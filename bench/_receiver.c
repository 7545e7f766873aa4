/* The receiver of the benchmarks: one thread, epoll, keep-alive; it answers every request with 200.
 *
 * Built when needed by _ground.py. It prints its port and serves until its input ends. A request is
 * a head and Content-Length bytes; what else HTTP allows its callers do not send.
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
#include <unistd.h>

#define ROOM 65536
#define DESCRIPTORS_MAX 65536

struct peer {
    char *data;
    size_t length;
};

static struct peer peers[DESCRIPTORS_MAX];
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
        peers[fd].data = malloc(ROOM);
        peers[fd].length = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(void) {
    struct rlimit most = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};
    setrlimit(RLIMIT_NOFILE, &most);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
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
            if (fd == STDIN_FILENO) return 0;
            if (fd == listener) greet(listener, poll);
            else serve(fd);
        }
    }
}
