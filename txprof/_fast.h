/* What `_fast.c` works with: the objects that Python hands over, and their slots. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

/* What the Python code hands over (`bind`): places.py the first five, statements.py the others. */
#define OBJECTS(X)                                                                                 \
    X(places) X(getframe) X(walk) X(Start) X(Step)                                                 \
    X(clock) X(collector) X(context) X(visits) X(entries) X(with_blocks) X(entries_here)           \
    X(holds_here) X(flush_here) X(texts) X(holds) X(plain) X(may_lock) X(locking_texts)            \
    X(transaction_state) X(held_state) X(no_parameters) X(executed) X(find) X(note_once)                 \
    X(Clock) X(Text) X(Hold) X(Transaction) X(Entry) X(Statement)

/* And boundary.py, where there is a harness. */
#define BEHIND(X) X(Boundary) X(Visit) X(Inner)

/* The slots of these classes that are used. */
#define SLOTS(X)                                                                                   \
    X(Start, first) X(Step, near) X(Step, depth) X(Step, called) X(Step, frames) X(Step, place)    \
    X(Step, outer) X(Clock, now) X(Text, effect) X(Text, writes) X(Hold, autocommit)               \
    X(Hold, statement) X(Hold, statement_seconds) X(Hold, transaction) X(Transaction, dropped)     \
    X(Transaction, key) X(Transaction, last) X(Transaction, locking) X(Transaction, ran)           \
    X(Transaction, statement_seconds) X(Entry, parts) X(Entry, written) X(Statement, count)        \
    X(Statement, flush) X(Statement, flushed) X(Statement, fresh) X(Statement, longest)            \
    X(Statement, sample) X(Statement, seconds) X(Statement, written) X(Boundary, aside)            \
    X(Boundary, _known) X(Visit, entries) X(Inner, by) X(Inner, users) X(Hold, by) X(Hold, inner)  \
    X(Hold, task) X(Hold, thread) X(Hold, users) X(Transaction, by) X(Transaction, users)          \
    X(Entry, collector) X(Entry, is_block)

#define NAMES(X)                                                                                   \
    X(root_connection) X(_dbapi_connection) X(dbapi_connection) X(parent) X(current) X(blocks)     \
    X(_greenlet) X(greenlet) X(GAP) X(RAN) X(SAMPLED) X(take) X(entered) X(f_trace)        \
    X(asyncio) X(_get_running_loop)

typedef struct {
#define X(name) PyObject *name;
    OBJECTS(X) BEHIND(X)
#undef X
#define X(name) PyObject *str_##name;
    NAMES(X)
#undef X
#define X(type, name) Py_ssize_t type##_##name;
    SLOTS(X)
#undef X
    int ready; /* all of it was handed over */
} State;

#define SLOT(object, slot) (*(PyObject **)((char *)(object) + st->slot))
#define IS(object, type) ((object) != NULL && (PyObject *)Py_TYPE(object) == st->type)
#define GLOBAL(module, name) PyDict_GetItemWithError(st->module, st->str_##name) /* borrowed */
#define PUT(object, slot, value) put(&SLOT(object, slot), value)

/* Puts a new reference where another object was; -1 if there is none. */
static int put(PyObject **slot, PyObject *value)
{
    if (value == NULL)
        return -1;
    PyObject *old = *slot;
    *slot = value;
    Py_XDECREF(old);
    return 0;
}

static int add_seconds(PyObject **slot, double seconds)
{
    double before = PyFloat_AsDouble(*slot);
    if (before == -1.0 && PyErr_Occurred())
        return -1;
    return put(slot, PyFloat_FromDouble(before + seconds));
}

/* One more; the new number, or -1. */
static long add_one(PyObject **slot)
{
    long number = PyLong_AsLong(*slot);
    if (number == -1 && PyErr_Occurred())
        return -1;
    return put(slot, PyLong_FromLong(number + 1)) < 0 ? -1 : number + 1;
}
