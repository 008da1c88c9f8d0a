/* floor PORT EXTRA: what any UDP server pays on this machine before it does anything of its own.
 *
 * Takes datagrams in batches and sends each one back with the QR bit set and EXTRA bytes behind it:
 * as many bytes move as in an answer, nothing is read and nothing is looked up. The ratio of a
 * server's CPU an answer to this one's is what a noisy machine can still tell.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, ROOM = 2048 };

static unsigned char bytes[BATCH][ROOM];
static struct sockaddr_in peers[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr heads[BATCH];

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int extra = atoi(argv[2]), buffer = 4 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
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
