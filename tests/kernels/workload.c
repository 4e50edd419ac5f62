/* A known number of calls with known sizes, on one file: what tracers in the guest are compared by. */
#include <fcntl.h>
#include <unistd.h>

static char bytes[4096];

/* write() itself keeps no frame pointer: whoever calls it is not in the stack, the next one is. */
__attribute__((noinline)) static long write_one(int fd, int size)
{
    return write(fd, bytes, size) + 1;
}

__attribute__((noinline)) static long write_all(int fd)
{
    long sum = 0;

    for (int i = 0; i < 40; i++)
        sum += write_one(fd, 13 * i + 1);
    return sum;
}

int main(int argc, char **argv)
{
    int fd, other;

    if (argc < 2)
        return 2;
    fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return 1;
    if (write_all(fd) < 0)
        return 1;
    lseek(fd, 0, SEEK_SET);
    for (int i = 0; i < 25; i++)
        read(fd, bytes, 17 * i + 1);
    other = open(argv[1], O_RDONLY);
    for (int i = 0; i < 3; i++)
        write(other, bytes, 7); /* refused: EBADF */
    close(other);
    for (int i = 0; i < 5; i++)
        getppid();
    close(fd);
    return unlink(argv[1]) != 0;
}
