/* The threads of this process as the kernel lists them. One that was joined may be listed for a while longer, so what is
 * told is which are there that were not before, never how many there are. */
#ifndef TT_TASKS_H
#define TT_TASKS_H

enum { TT_TASKS_MOST = 1024 };

struct tt_tasks {
    unsigned n;
    long ids[TT_TASKS_MOST];
};
void tt_tasks_look(struct tt_tasks *t);

struct tt_new_tasks {
    unsigned all, named;
    unsigned long long blocked; /* signals, a bit for each from 1 on: by the last of those that are named so */
};
/* Those that are there now and were not in before. */
struct tt_new_tasks tt_tasks_since(const struct tt_tasks *before, const char *name);

#endif
