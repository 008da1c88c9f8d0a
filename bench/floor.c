/* floor PORT EXTRA: what any server pays on this machine before it does anything of its own.
 *
 * Takes datagrams in batches and sends each one back with the QR bit set and EXTRA bytes behind it:
 * as many bytes move as in an answer, nothing is read and nothing is looked up. The ratio of a
 * server's CPU an answer to this one's is what a noisy machine can still tell. A process beside it
 * does the same with the messages of one TCP connection after another.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, ROOM = 2048 };

static unsigned char bytes[BATCH][ROOM];
static struct sockaddr_in peers[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr heads[BATCH];

static void stream(const struct sockaddr_in *at, int extra) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)at, sizeof *at) || listen(fd, 16)) _exit(1);
    for (;;) {
        unsigned char *message = bytes[0];
        int peer = accept(fd, NULL, NULL), got;
        while ((got = recv(peer, message, ROOM - extra, 0)) > 4) {
            int size = got - 2 + extra;
            message[0] = size >> 8, message[1] = size, message[4] |= 0x84;
            if (send(peer, message, size + 2, MSG_NOSIGNAL) < 0) break;
        }
        close(peer);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int extra = atoi(argv[2]), buffer = 4 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!fork()) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stream(&at, extra);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(fd, (struct sockaddr *)&at, sizeof at)) return 1;
    int used = BATCH;
    for (;;) {
        for (int i = 0; i < used; i++) { /* only what the last round used is made ready again */
            parts[i] = (struct iovec){bytes[i], ROOM - extra};
            heads[i].msg_hdr = (struct msghdr){
                .msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        used = recvmmsg(fd, heads, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < used; i++) {
            bytes[i][2] |= 0x84;
            parts[i].iov_len = heads[i].msg_len + extra;
        }
        for (int sent = 0; sent < used;) {
            int n = sendmmsg(fd, heads + sent, used - sent, 0);
            sent += n > 0 ? n : 1;
        }
    }
}
