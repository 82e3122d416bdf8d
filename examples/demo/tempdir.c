/* tempdir.c - see tempdir.h. */
#include "tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tempdir_make(char *path, size_t cap)
{
    const char *base = getenv("TMPDIR");
    if ((size_t)snprintf(path, cap, "%s/tiercache-demo.XXXXXX", base && *base ? base : "/tmp") >= cap) {
        errno = ENAMETOOLONG;
        path[0] = '\0';
        return -1;
    }
    if (mkdtemp(path))
        return 0;
    path[0] = '\0';
    return -1;
}

void tempdir_remove(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}
