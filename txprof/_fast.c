/* The ordinary case of a watched statement, compiled.

   What happens to a statement is described in Python: sensors/statements.py (`_executed`),
   places.py (`here_in_python`), entries.py (`Entry.statement`). This file takes a short cut where a
   statement is an ordinary one: of a known text, on a known hold, from a known place, in a
   known row. It looks at everything first and changes nothing until it is sure; for whatever is out
   of the ordinary it calls the Python code, which then does all of it. So a rule that changes there
   has to be looked for here too; tests/test_compiled.py runs the same programs both ways.

   The attributes of our own classes are read where their `__slots__` put them. The GIL is relied on
   (a free-threaded build goes without this file): between two calls that may run Python code,
   nobody else changes what is looked at. What is used after such a call is held by a reference. */

#include "_fast.h"

#include "_fast_places.h"

#include "_fast_boundary.h"

#define MOST_ENTRIES 8 /* profiles that count one statement; with more it is no ordinary one */

/* --- entries.Entry.statement ---------------------------------------------------------------- */

/* An entry's row of a key, a new reference; NULL, maybe with an exception, if it is a new one. */
static PyObject *row_of(State *st, PyObject *entry, PyObject *thread, PyObject *key)
{
    PyObject *rows = IS(entry, Entry) ? SLOT(entry, Entry_parts) : NULL;
    rows = rows != NULL && PyDict_CheckExact(rows) ? PyDict_GetItemWithError(rows, thread) : NULL;
    PyObject *row = rows == NULL ? NULL : PyDict_GetItemWithError(rows, key);
    return IS(row, Statement) ? Py_NewRef(row) : NULL;
}

static int count(State *st, PyObject *entry, PyObject *row, double seconds, PyObject *parameters,
                 int writes)
{
    PyObject *flush;
    long times = add_one(&SLOT(row, Statement_count));
    if (times < 0 || add_seconds(&SLOT(row, Statement_seconds), seconds) < 0)
        return -1;
    if (seconds > PyFloat_AsDouble(SLOT(row, Statement_longest)) &&
        PUT(row, Statement_longest, PyFloat_FromDouble(seconds)) < 0)
        return -1;
    if (writes) {
        if (add_one(&SLOT(entry, Entry_written)) < 0)
            return -1;
    } else {
        PyObject *written = SLOT(entry, Entry_written), *sampled = GLOBAL(entries, SAMPLED);
        if (PyObject_RichCompareBool(SLOT(row, Statement_written), written, Py_NE) != 0 &&
            (PUT(row, Statement_written, Py_NewRef(written)) < 0 ||
             add_one(&SLOT(row, Statement_fresh)) < 0))
            return -1;
        if (sampled != NULL && times <= PyLong_AsLong(sampled) ) {
            PyObject *taken = PyObject_CallMethodOneArg(SLOT(row, Statement_sample), st->str_take,
                                                        parameters);
            if (taken == NULL)
                return -1;
            Py_DECREF(taken);
        }
    }
    if (PyContextVar_Get(st->flush_here, NULL, &flush) < 0)
        return -1;
    if (flush == Py_None || flush != SLOT(row, Statement_flush))
        return PUT(row, Statement_flush, flush);
    Py_DECREF(flush);
    return add_one(&SLOT(row, Statement_flushed)) < 0 ? -1 : 0;
}

/* --- statements._executed ------------------------------------------------------------------- */

static PyObject *entries_of_here(State *st)
{
    PyObject *inner, *blocks = GLOBAL(collector, blocks);
    if (blocks == NULL || PyContextVar_Get(st->entries_here, NULL, &inner) < 0)
        return NULL;
    if (PyTuple_GET_SIZE(blocks) == 0)
        return inner;
    if (PyTuple_GET_SIZE(inner) == 0)
        Py_SETREF(inner, Py_NewRef(blocks));
    else
        Py_SETREF(inner, PyObject_CallOneArg(st->with_blocks, inner));
    return inner;
}

/* The hold that a statement runs on, a new reference, if it is known and known here. */
static PyObject *hold_of(State *st, PyObject *execution)
{
    PyObject *connection = PyObject_GetAttr(execution, st->str_root_connection), *hold = NULL;
    PyObject *fairy = connection ? PyObject_GetAttr(connection, st->str__dbapi_connection) : NULL;
    PyObject *raw = fairy ? PyObject_GetAttr(fairy, st->str_dbapi_connection) : NULL;
    PyObject *id = raw ? PyLong_FromVoidPtr(raw) : NULL, *known = NULL;
    PyObject *found = id ? PyDict_GetItemWithError(st->holds, id) : NULL;
    if (IS(found, Hold) && PyContextVar_Get(st->holds_here, NULL, &known) == 0) {
        for (Py_ssize_t i = PyTuple_GET_SIZE(known); i-- > 0 && hold == NULL;)
            if (PyTuple_GET_ITEM(known, i) == found)
                hold = Py_NewRef(found);
        Py_DECREF(known);
    }
    Py_XDECREF(id);
    Py_XDECREF(raw);
    Py_XDECREF(fairy);
    Py_XDECREF(connection);
    return hold;
}

/* Whether nothing is to be done in the transaction, or without one, before the statement counts. */
static int is_ordinary(State *st, PyObject *hold, PyObject *statement, int locks, double since)
{
    PyObject *transaction = SLOT(hold, Hold_transaction), *gap = GLOBAL(context, GAP);
    if (transaction == Py_None)
        return SLOT(hold, Hold_autocommit) == Py_True;
    if (!IS(transaction, Transaction) || gap == NULL)
        return 0;
    if (!(since - PyFloat_AsDouble(SLOT(transaction, Transaction_last)) < PyFloat_AsDouble(gap)))
        return 0;
    PyObject *locking = SLOT(transaction, Transaction_locking);
    return !locks || (PyDict_CheckExact(locking) &&
                      (PyDict_Size(locking) >= PyLong_AsSsize_t(st->locking_texts) ||
                       PyDict_Contains(locking, statement) == 1));
}

/* Notes it in the transaction. */
static int ran(State *st, PyObject *transaction, PyObject *since, PyObject *until, PyObject *key,
               PyObject *entries, double seconds)
{
    PyObject *events = SLOT(transaction, Transaction_ran), *most = GLOBAL(context, RAN);
    if (PUT(transaction, Transaction_last, Py_NewRef(until)) < 0 ||
        PUT(transaction, Transaction_key, Py_NewRef(key)) < 0 || most == NULL ||
        add_seconds(&SLOT(transaction, Transaction_statement_seconds), seconds) < 0)
        return -1;
    if (PyList_Size(events) >= PyLong_AsSsize_t(most))
        return add_one(&SLOT(transaction, Transaction_dropped)) < 0 ? -1 : 0;
    Py_INCREF(events); /* the garbage collector may run here, and whatever it calls */
    PyObject *event = PyTuple_Pack(5, since, until, key, entries, Py_False); /* all five or none */
    PyObject *grown = event == NULL ? NULL : PySequence_InPlaceConcat(events, event);
    Py_DECREF(events);
    Py_XDECREF(event);
    Py_XDECREF(grown);
    return grown == NULL ? -1 : 0;
}

/* Behind a harness: the entries of whom the statement runs for, a new reference; or NULL. */
static PyObject *entered(State *st, PyObject *harness, PyObject *entries, PyObject *hold,
                         PyObject *place, PyObject *known)
{
    PyObject *known_there = entered_at(st, harness, entries, hold, place, known);
    if (known_there != NULL)
        return known_there;
    PyErr_Clear();
    PyObject *out = PyLong_FromLong(0); /* SQLAlchemy's frame is the caller's: we have none */
    PyObject *args[] = {harness, entries, hold, place, known, out};
    PyObject *found = out == NULL ? NULL : PyObject_VectorcallMethod(st->str_entered, args, 6, NULL);
    Py_XDECREF(out);
    if (found != NULL && !PyTuple_CheckExact(found))
        Py_CLEAR(found);
    return found;
}

/* 1: it is counted. 0, maybe with an exception: nothing was changed, ask Python; what a harness was
   asked by then is in `*mine`, a new reference. -1: an exception came in between. */
static int counted(State *st, PyObject *statement, PyObject *parameters, PyObject *execution,
                   PyObject *since, PyObject *until, PyObject **mine)
{
    PyObject *entries = NULL, *known, *hold = NULL, *transaction = NULL, *place = NULL;
    PyObject *key = NULL, *thread = NULL, *rows[MOST_ENTRIES] = {NULL};
    int done = 0;
    if (!PyFloat_CheckExact(since) || !PyFloat_CheckExact(until) ||
        !PyUnicode_CheckExact(statement) || PyList_CheckExact(parameters)) /* many sets of them */
        return 0;
    known = Py_XNewRef(PyDict_GetItemWithError(st->texts, statement));
    int locks = IS(known, Text) && SLOT(known, Text_effect) == st->may_lock;
    if (!IS(known, Text) || (!locks && SLOT(known, Text_effect) != st->plain) ||
        (entries = entries_of_here(st)) == NULL)
        goto out;
    Py_ssize_t many = PyTuple_GET_SIZE(entries);
    if (!many && !locks) {
        done = 1; /* nobody watches */
        goto out;
    }
    double start = PyFloat_AS_DOUBLE(since), seconds = PyFloat_AS_DOUBLE(until) - start;
    if (!many || many > MOST_ENTRIES || execution == Py_None ||
        (hold = hold_of(st, execution)) == NULL || !is_ordinary(st, hold, statement, locks, start))
        goto out;
    transaction = Py_NewRef(SLOT(hold, Hold_transaction));
    if ((place = place_here(st, known, 3)) == NULL) {
        PyErr_Clear();
        if ((place = PyObject_CallOneArg(st->find, known)) == NULL)
            goto out;
    }
    PyObject *harness = GLOBAL(visits, current);
    if (harness != Py_None) {
        harness = Py_XNewRef(harness);
        *mine = harness == NULL ? NULL : entered(st, harness, entries, hold, place, known);
        Py_XDECREF(harness);
        if (*mine == NULL)
            goto out;
        Py_SETREF(entries, Py_NewRef(*mine));
        if ((many = PyTuple_GET_SIZE(entries)) > MOST_ENTRIES)
            goto out;
    }
    PyObject *state = transaction == Py_None ? st->held_state : st->transaction_state;
    key = PyTuple_Pack(3, statement, state, place);
    thread = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    for (Py_ssize_t i = 0; i < many; i++)
        if (key == NULL || thread == NULL ||
            (rows[i] = row_of(st, PyTuple_GET_ITEM(entries, i), thread, key)) == NULL)
            goto out;

    done = -1; /* from here on it is changed */
    if (PUT(hold, Hold_statement, Py_NewRef(statement)) < 0 ||
        add_seconds(&SLOT(hold, Hold_statement_seconds), seconds) < 0 ||
        (transaction != Py_None && ran(st, transaction, since, until, key, entries, seconds) < 0))
        goto out;
    for (Py_ssize_t i = 0; i < many; i++)
        if (count(st, PyTuple_GET_ITEM(entries, i), rows[i], seconds, parameters,
                  SLOT(known, Text_writes) == Py_True) < 0)
            goto out;
    done = 1;
out:
    for (int i = 0; i < MOST_ENTRIES; i++)
        Py_XDECREF(rows[i]);
    Py_XDECREF(thread);
    Py_XDECREF(key);
    Py_XDECREF(place);
    Py_XDECREF(transaction);
    Py_XDECREF(hold);
    Py_XDECREF(entries);
    Py_XDECREF(known);
    return done;
}

/* --- the wrap of do_execute, do_executemany and do_execute_no_params --------------------------- */

static PyObject *now(State *st)
{
    return PyObject_CallNoArgs(SLOT(st->clock, Clock_now));
}

/* An error of ours is noted, 1; one that is no Exception (Ctrl-C) goes its way, -1. */
static int gave_way(State *st)
{
    PyObject *type, *error, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    PyObject *done = PyObject_CallFunction(st->note_once, "sO", "the statement sensor", error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    Py_XDECREF(done);
    return done == NULL ? -1 : 1;
}

/* A statement ran: the short cut, or all of it in Python. -1: an exception that is not ours. */
static int saw(State *st, PyObject *const *args, PyObject *since, PyObject *until, int failed)
{
    PyObject *mine = NULL;
    int done = failed ? 0 : counted(st, args[0], args[1], args[2], since, until, &mine);
    if (done != 0) {
        Py_XDECREF(mine);
        return done < 0 ? gave_way(st) : 1;
    }
    PyErr_Clear();
    PyObject *seen = PyObject_CallFunctionObjArgs(st->executed, args[0], args[1], args[2], since,
                                                  until, failed ? Py_True : Py_False, mine, NULL);
    Py_XDECREF(seen);
    Py_XDECREF(mine);
    return seen == NULL ? -1 : 1;
}

/* execute(original, wrap, n, *arguments): `original`, seen. With other arguments than the n that
   SQLAlchemy gives, the wrap in Python does it. 4: cursor, statement, parameters, execution; 3: the
   same without parameters. */
static PyObject *execute(PyObject *module, PyObject *const *args, Py_ssize_t many, PyObject *names)
{
    State *st = PyModule_GetState(module);
    if (many < 3 || !st->ready)
        return PyErr_Format(PyExc_TypeError, "bind() comes first; and an original, a wrap, 3 or 4");
    long arguments = PyLong_AsLong(args[2]);
    if (names != NULL || many - 3 != arguments || arguments < 3 || arguments > 4)
        return PyErr_Occurred() ? NULL : PyObject_Vectorcall(args[1], args + 3, many - 3, names);
    PyObject *since = now(st), *until = NULL, *type = NULL, *error = NULL, *traceback = NULL;
    if (since == NULL)
        return NULL;
    PyObject *result = PyObject_Vectorcall(args[0], args + 3, many - 3, NULL);
    if (result == NULL)
        PyErr_Fetch(&type, &error, &traceback);
    PyObject *parameters = arguments == 4 ? args[5] : st->no_parameters;
    PyObject *told[] = {args[4], parameters, args[many - 1]};
    int seen = (until = now(st)) == NULL ? -1 : saw(st, told, since, until, result == NULL);
    Py_DECREF(since);
    Py_XDECREF(until);
    Py_XDECREF(result);
    if (type != NULL && seen > 0) {
        PyErr_Restore(type, error, traceback);
        return NULL;
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
    return seen < 0 ? NULL : Py_NewRef(Py_None);
}

/* --- the module -------------------------------------------------------------------------------- */

/* Where the instances of a class keep a slot; -1, with an exception, if it is none. */
static Py_ssize_t offset_of(PyObject *type, const char *name)
{
    PyObject *found = PyObject_GetAttrString(type, name);
    Py_ssize_t offset = -1;
    if (found != NULL && Py_TYPE(found) == &PyMemberDescr_Type)
        offset = ((PyMemberDescrObject *)found)->d_member->offset;
    else if (found != NULL)
        PyErr_Format(PyExc_TypeError, "%s is no slot", name);
    Py_XDECREF(found);
    return offset;
}

/* bind(objects): takes those that are given, by their names. */
static PyObject *bind(PyObject *module, PyObject *objects)
{
    State *st = PyModule_GetState(module);
    if (!PyDict_Check(objects))
        return PyErr_Format(PyExc_TypeError, "a dict is needed");
    st->ready = 1;
#define X(name)                                                                                    \
    if (PyDict_GetItemString(objects, #name) != NULL)                                              \
        put(&st->name, Py_NewRef(PyDict_GetItemString(objects, #name)));                           \
    st->ready = st->ready && st->name != NULL;
    OBJECTS(X)
#undef X
#define X(name)                                                                                    \
    if (PyDict_GetItemString(objects, #name) != NULL)                                              \
        put(&st->name, Py_NewRef(PyDict_GetItemString(objects, #name)));
    BEHIND(X)
#undef X
#define X(type, name)                                                                              \
    if (st->type != NULL && (st->type##_##name = offset_of(st->type, #name)) < 0) {                \
        st->ready = 0;                                                                             \
        return NULL;                                                                               \
    }
    SLOTS(X)
#undef X
    Py_RETURN_NONE;
}

static int begin_module(PyObject *module)
{
    State *st = PyModule_GetState(module);
#define X(name)                                                                                    \
    if ((st->str_##name = PyUnicode_InternFromString(#name)) == NULL)                              \
        return -1;
    NAMES(X)
#undef X
    return 0;
}

static void free_module(void *module)
{
    State *st = PyModule_GetState(module);
    if (st == NULL)
        return;
#define X(name) Py_CLEAR(st->name);
    OBJECTS(X) BEHIND(X)
#undef X
#define X(name) Py_CLEAR(st->str_##name);
    NAMES(X)
#undef X
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_O, NULL},
    {"here", here, METH_O, NULL},
    {"numbers", (PyCFunction)(void (*)(void))numbers, METH_FASTCALL, NULL},
    {"application", (PyCFunction)(void (*)(void))application, METH_FASTCALL, NULL},
    {"passed", (PyCFunction)(void (*)(void))passed, METH_FASTCALL, NULL},
    {"execute", (PyCFunction)(void (*)(void))execute, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, begin_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "txprof._fast", NULL, sizeof(State), functions, slots, NULL, NULL,
    free_module};

PyMODINIT_FUNC PyInit__fast(void)
{
    return PyModuleDef_Init(&definition);
}
