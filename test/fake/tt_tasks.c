/* See tt_tasks.h. */
#include "tt_tasks.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tt_util.h"

/* A line of /proc/self/task/ID/status. False: the thread is gone. */
static bool status_line(long id, const char *name, char *value, size_t cap)
{
    char path[64], line[256];
    bool found = false;
    snprintf(path, sizeof path, "/proc/self/task/%ld/status", id);
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, name, strlen(name)) == 0;
        if (found)
            snprintf(value, cap, "%s", line + strlen(name));
    }
    if (f != NULL)
        fclose(f);
    return found;
}

void tt_tasks_look(struct tt_tasks *t)
{
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL)
        tt_die("/proc/self/task cannot be read");
    t->n = 0;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        if (d->d_name[0] == '.')
            continue;
        if (t->n == TT_TASKS_MOST)
            tt_die("more than %d threads", TT_TASKS_MOST);
        t->ids[t->n++] = strtol(d->d_name, NULL, 10);
    }
    closedir(dir);
}

static bool has(const struct tt_tasks *t, long id)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->ids[i] == id)
            return true;
    return false;
}

struct tt_new_tasks tt_tasks_since(const struct tt_tasks *before, const char *name)
{
    struct tt_new_tasks found = { 0 };
    struct tt_tasks now;
    tt_tasks_look(&now);
    for (unsigned i = 0; i < now.n; i++) {
        char value[64] = "";
        if (has(before, now.ids[i]) || !status_line(now.ids[i], "Name:\t", value, sizeof value))
            continue;
        found.all++;
        if (strcmp(value, name) != 0)
            continue;
        found.named++;
        if (status_line(now.ids[i], "SigBlk:\t", value, sizeof value))
            found.blocked = strtoull(value, NULL, 16);
    }
    return found;
}
