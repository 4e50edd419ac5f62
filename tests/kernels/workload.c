/* A known number of calls with known sizes, on one file: what tracers in the guest are compared by. */
#include <fcntl.h>
#include <unistd.h>

static char bytes[4096];

__attribute__((noinline)) static void write_all(int fd)
{
    for (int i = 0; i < 40; i++)
        write(fd, bytes, 13 * i + 1);
}

int main(int argc, char **argv)
{
    int fd, other;

    if (argc < 2)
        return 2;
    fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return 1;
    write_all(fd);
    lseek(fd, 0, SEEK_SET);
    for (int i = 0; i < 25; i++)
        read(fd, bytes, 17 * i + 1);
    other = open(argv[1], O_RDONLY);
    for (int i = 0; i < 3; i++)
        write(other, bytes, 7); /* refused: EBADF */
    close(other);
    close(fd);
    return unlink(argv[1]) != 0;
}
