// A name a line; what getaddrinfo says of it as a line: addresses, "none", or "failed".
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(void) {
    char name[256];
    while (fgets(name, sizeof name, stdin)) {
        name[strcspn(name, "\n")] = 0;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
        int error = getaddrinfo(name, "80", &hints, &found);
        if (error == EAI_NONAME || error == EAI_NODATA)
            printf("none");
        else if (error)
            printf("failed");
        else
            for (; found; found = found->ai_next) {
                char text[INET6_ADDRSTRLEN];
                void *at = &((struct sockaddr_in *)found->ai_addr)->sin_addr;
                if (found->ai_family == AF_INET6)
                    at = &((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
                printf("%s ", inet_ntop(found->ai_family, at, text, sizeof text));
            }
        puts("");
        fflush(stdout);
    }
}
