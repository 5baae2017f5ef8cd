/* What `_fast.c` works with, and where on the stack a statement comes from: places.py
   (`here_in_python`) and callsite.py (`numbers`), compiled. */

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

/* The slots of these classes that are used. */
#define SLOTS(X)                                                                                   \
    X(Start, first) X(Step, near) X(Step, depth) X(Step, called) X(Step, frames) X(Step, place)    \
    X(Step, outer) X(Clock, now) X(Text, effect) X(Text, writes) X(Hold, autocommit)               \
    X(Hold, statement) X(Hold, statement_seconds) X(Hold, transaction) X(Transaction, dropped)     \
    X(Transaction, key) X(Transaction, last) X(Transaction, locking) X(Transaction, ran)           \
    X(Transaction, statement_seconds) X(Entry, parts) X(Entry, written) X(Statement, count)        \
    X(Statement, flush) X(Statement, flushed) X(Statement, fresh) X(Statement, longest)            \
    X(Statement, sample) X(Statement, seconds) X(Statement, written)

#define NAMES(X)                                                                                   \
    X(root_connection) X(_dbapi_connection) X(dbapi_connection) X(parent) X(current) X(blocks)     \
    X(_greenlet) X(greenlet) X(GAP) X(RAN) X(SAMPLED) X(take) X(entered)

typedef struct {
#define X(name) PyObject *name;
    OBJECTS(X)
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

/* --- places.here --------------------------------------------------------------------------- */

static int is_of(PyFrameObject *frame, PyObject *code)
{
    PyCodeObject *own = PyFrame_GetCode(frame);
    Py_DECREF(own);
    return (PyObject *)own == code;
}

/* Goes out by one frame; 0 if there is none. */
static int go_out(PyFrameObject **frame)
{
    PyFrameObject *outer = *frame == NULL ? NULL : PyFrame_GetBack(*frame);
    Py_XSETREF(*frame, outer);
    return outer != NULL;
}

/* Whether the stack, from `*frame` on, agrees with a step; the frame goes along. */
static int agrees(State *st, PyObject *step, PyFrameObject **frame, long nearer)
{
    PyObject *near = SLOT(step, Step_near), *frames = SLOT(step, Step_frames);
    long depth = PyLong_AsLong(SLOT(step, Step_depth));
    if (near != Py_None) {
        PyFrameObject *inner = (PyFrameObject *)Py_XNewRef((PyObject *)*frame);
        int same = go_out(&inner) && is_of(inner, near);
        Py_XDECREF(inner);
        if (!same)
            return 0;
    }
    if (depth) {
        if (depth < nearer)
            return 0; /* the frame that would stand there is the one that we do without */
        PyObject *number = PyLong_FromLong(depth - nearer);
        PyObject *found = number == NULL ? NULL : PyObject_CallOneArg(st->getframe, number);
        Py_XDECREF(number);
        Py_XSETREF(*frame, (PyFrameObject *)found);
        if (found == NULL || !is_of(*frame, SLOT(step, Step_called)))
            return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(frames); i++) {
        PyObject *pair = PyTuple_GET_ITEM(frames, i);
        if (!go_out(frame) || !is_of(*frame, PyTuple_GET_ITEM(pair, 0)))
            return 0;
        if (PyFrame_GetLasti(*frame) != PyLong_AsLong(PyTuple_GET_ITEM(pair, 1)))
            return 0;
    }
    return *frame != NULL;
}

static int is_outermost_greenlet(State *st)
{
    PyObject *getcurrent = GLOBAL(places, _greenlet);
    if (getcurrent == NULL || getcurrent == Py_None)
        return PyDict_Contains(PyImport_GetModuleDict(), st->str_greenlet) == 0;
    PyObject *current = PyObject_CallNoArgs(getcurrent);
    PyObject *parent = current == NULL ? NULL : PyObject_GetAttr(current, st->str_parent);
    int outermost = parent == Py_None;
    Py_XDECREF(parent);
    Py_XDECREF(current);
    return outermost;
}

/* The place of a known path, a new reference, or NULL, maybe with an exception: ask Python.
   `nearer`: of the frames that steps count with, so many are missing in front. */
static PyObject *place_here(State *st, PyObject *start, long nearer)
{
    PyObject *step = Py_NewRef(SLOT(start, Start_first)), *place = NULL;
    PyFrameObject *frame = NULL;
    while (IS(step, Step) && agrees(st, step, &frame, nearer)) {
        place = Py_NewRef(SLOT(step, Step_place));
        if (place != Py_None) {
            if (go_out(&frame) || !is_outermost_greenlet(st))
                Py_CLEAR(place);
            break;
        }
        Py_CLEAR(place);
        Py_SETREF(step, Py_NewRef(SLOT(step, Step_outer)));
    }
    Py_DECREF(step);
    Py_XDECREF(frame);
    return place;
}

static PyObject *here(PyObject *module, PyObject *start)
{
    State *st = PyModule_GetState(module);
    if (st->Start == NULL || !PyObject_TypeCheck(start, (PyTypeObject *)st->Start)) {
        PyErr_SetString(PyExc_TypeError, "a places.Start is needed");
        return NULL;
    }
    PyObject *place = place_here(st, start, 1);
    if (place == NULL) {
        PyErr_Clear();
        place = PyObject_CallOneArg(st->walk, start);
    }
    return place;
}

/* --- callsite.numbers ------------------------------------------------------------------------ */

/* Whether a file is the application's; -1 with an exception. */
static int is_application(PyObject *known, PyObject *ask, PyObject *file)
{
    PyObject *verdict = PyDict_GetItemWithError(known, file); /* borrowed: True or False */
    if (verdict != NULL || PyErr_Occurred())
        return verdict == NULL ? -1 : verdict == Py_True;
    verdict = PyObject_CallOneArg(ask, file);
    int found = verdict == NULL ? -1 : PyObject_IsTrue(verdict);
    Py_XDECREF(verdict);
    return found;
}

static int add_number(PyObject *numbers, PyObject *number)
{
    int failed = number == NULL ? -1 : PyList_Append(numbers, number);
    Py_XDECREF(number);
    return failed;
}

/* numbers(frame, known, ask, root, outer): the application's frames from `frame` out and in the
   frames that `outer` iterates over, two numbers each. None where `root` is reached before any: the
   path goes on in another task. */
static PyObject *numbers(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t many)
{
    if (many != 5 || !PyFrame_Check(args[0]) || !PyDict_Check(args[1]) || !PyIter_Check(args[4]))
        return PyErr_Format(PyExc_TypeError, "a frame, a dict, a function, a frame, an iterator");
    PyFrameObject *frame = (PyFrameObject *)Py_NewRef(args[0]);
    PyObject *found = PyList_New(0), *result = NULL;
    while (found != NULL && frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        int verdict = is_application(args[1], args[2], code->co_filename);
        if (verdict > 0)
            verdict = add_number(found, PyLong_FromVoidPtr(code)) < 0 ||
                              add_number(found, PyLong_FromLong(PyFrame_GetLasti(frame))) < 0
                          ? -1
                          : 1;
        Py_DECREF(code);
        if (verdict < 0)
            goto out;
        if (!verdict && (PyObject *)frame == args[3] && PyList_GET_SIZE(found) == 0) {
            result = Py_NewRef(Py_None);
            goto out;
        }
        if (!go_out(&frame)) {
            PyObject *outer = PyIter_Next(args[4]);
            if (outer == NULL && PyErr_Occurred())
                goto out;
            if (outer != NULL && !PyFrame_Check(outer))
                Py_CLEAR(outer);
            frame = (PyFrameObject *)outer;
        }
    }
    result = found == NULL ? NULL : PyList_AsTuple(found);
out:
    Py_XDECREF(found);
    Py_XDECREF(frame);
    return result;
}
