/* Behind a harness: whom a statement runs for (boundary.py, `who_at` and `entered`), compiled. The
   case of nearly all of them: one visit that is known to stand at this place, has used all that is
   open here before, and counts in an entry that it has. */

/* Whether no event loop runs here: `waiting.current_task` says the same, at the price of a call. */
static int is_without_task(State *st)
{
    PyObject *asyncio = PyDict_GetItemWithError(PyImport_GetModuleDict(), st->str_asyncio);
    if (asyncio == NULL)
        return !PyErr_Occurred();
    PyObject *loop = PyObject_CallMethodNoArgs(asyncio, st->str__get_running_loop);
    Py_XDECREF(loop);
    return loop == Py_None;
}

/* The visit on the frame that it is known to stand on, a new reference; NULL, maybe with an
   exception: ask Python. */
static PyObject *visit_at(State *st, PyObject *harness, PyObject *place, PyObject *statement)
{
    PyObject *aside = SLOT(harness, Boundary_aside), *places = SLOT(harness, Boundary__known);
    if (PyObject_IsTrue(aside) != 0 || !PyDict_CheckExact(places))
        return NULL;
    PyObject *key = PyTuple_Pack(2, place, statement), *visit = NULL;
    PyObject *known = key == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(places, key));
    PyFrameObject *frame = NULL;
    Py_XDECREF(key);
    if (known == NULL || !PyTuple_Check(known) || PyTuple_GET_SIZE(known) != 4)
        goto out;
    long out = PyLong_AsLong(PyTuple_GET_ITEM(known, 0));
    if (out <= 0 || !is_without_task(st) ||
        !is_of(frame = frame_at(st, out - 1), PyTuple_GET_ITEM(known, 1)))
        goto out;
    visit = PyObject_GetAttr((PyObject *)frame, st->str_f_trace);
    if (!IS(visit, Visit) || !go_out(&frame) || !is_of(frame, PyTuple_GET_ITEM(known, 2)))
        Py_CLEAR(visit);
out:
    Py_XDECREF(frame);
    Py_XDECREF(known);
    return visit;
}

/* Whether it opened what is open, or ran something in it before. */
static int has_used(PyObject *visit, PyObject *by, PyObject *users)
{
    return by == visit || (PyDict_CheckExact(users) && PyDict_Contains(users, visit) == 1);
}

/* Whether it has used a hold, and the transactions on it; and the hold is of this thread's. */
static int is_at_home(State *st, PyObject *visit, PyObject *hold)
{
    PyObject *transaction = SLOT(hold, Hold_transaction), *inner = SLOT(hold, Hold_inner);
    if (SLOT(hold, Hold_task) != Py_None || !PyList_CheckExact(inner) ||
        PyLong_AsUnsignedLong(SLOT(hold, Hold_thread)) != PyThread_get_thread_ident() ||
        !has_used(visit, SLOT(hold, Hold_by), SLOT(hold, Hold_users)))
        return 0;
    if (IS(transaction, Transaction) && !has_used(visit, SLOT(transaction, Transaction_by),
                                                  SLOT(transaction, Transaction_users)))
        return 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(inner); i++) {
        PyObject *each = PyList_GET_ITEM(inner, i);
        if (!IS(each, Inner) || !has_used(visit, SLOT(each, Inner_by), SLOT(each, Inner_users)))
            return 0;
    }
    return 1;
}

/* The entries of whom the statement runs for, a new reference; NULL, maybe with an exception: ask
   Python. */
static PyObject *entered_at(State *st, PyObject *harness, PyObject *entries, PyObject *hold,
                            PyObject *place, PyObject *statement)
{
    PyObject *block = PyTuple_GET_SIZE(entries) == 1 ? PyTuple_GET_ITEM(entries, 0) : NULL;
    if (!IS(harness, Boundary) || !IS(block, Entry) || SLOT(block, Entry_is_block) != Py_True)
        return NULL;
    PyObject *visit = visit_at(st, harness, place, statement), *found = NULL;
    if (visit != NULL && is_at_home(st, visit, hold)) {
        PyObject *mine = PyDict_CheckExact(SLOT(visit, Visit_entries))
                             ? PyDict_GetItemWithError(SLOT(visit, Visit_entries),
                                                       SLOT(block, Entry_collector))
                             : NULL;
        found = mine == NULL ? NULL : PyTuple_Pack(1, mine);
    }
    Py_XDECREF(visit);
    return found;
}
