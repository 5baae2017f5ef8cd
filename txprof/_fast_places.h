/* Where on the stack a statement comes from: places.py (`here_in_python`, `passed_in_python`) and
   callsite.py (`numbers`, `application_frames`), compiled. */

/* --- places.here --------------------------------------------------------------------------- */

/* The frame so far out from the innermost of Python, a new reference; NULL with an exception. */
static PyFrameObject *frame_at(State *st, long out)
{
    PyObject *number = PyLong_FromLong(out);
    PyObject *found = number == NULL ? NULL : PyObject_CallOneArg(st->getframe, number);
    Py_XDECREF(number);
    return (PyFrameObject *)found;
}

static int is_of(PyFrameObject *frame, PyObject *code)
{
    if (frame == NULL)
        return 0;
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
        Py_XSETREF(*frame, frame_at(st, depth - nearer));
        if (!is_of(*frame, SLOT(step, Step_called)))
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

/* What is found of a frame of the application. */
typedef int (*Found)(PyObject *found, PyFrameObject *frame, PyCodeObject *code);

static int its_numbers(PyObject *found, PyFrameObject *frame, PyCodeObject *code)
{
    if (add_number(found, PyLong_FromVoidPtr(code)) < 0)
        return -1;
    return add_number(found, PyLong_FromLong(PyFrame_GetLasti(frame)));
}

static int itself(PyObject *found, PyFrameObject *frame, PyCodeObject *Py_UNUSED(code))
{
    return PyList_Append(found, (PyObject *)frame);
}

/* (frame, known, ask, root, outer): of the application's frames from `frame` out and in the frames
   that `outer` iterates over. None where `root` is reached before any: the path goes on in another
   task. */
static PyObject *of_application(PyObject *const *args, Py_ssize_t many, Found add)
{
    if (many != 5 || !PyFrame_Check(args[0]) || !PyDict_Check(args[1]) || !PyIter_Check(args[4]))
        return PyErr_Format(PyExc_TypeError, "a frame, a dict, a function, a frame, an iterator");
    PyFrameObject *frame = (PyFrameObject *)Py_NewRef(args[0]);
    PyObject *found = PyList_New(0), *result = NULL;
    while (found != NULL && frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        int verdict = is_application(args[1], args[2], code->co_filename);
        if (verdict > 0 && add(found, frame, code) < 0)
            verdict = -1;
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
    result = Py_XNewRef(found);
out:
    Py_XDECREF(found);
    Py_XDECREF(frame);
    return result;
}

/* numbers(...): two of each. */
static PyObject *numbers(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t many)
{
    PyObject *found = of_application(args, many, its_numbers), *numbers = NULL;
    if (found == NULL || found == Py_None)
        return found;
    numbers = PyList_AsTuple(found);
    Py_DECREF(found);
    return numbers;
}

/* application(...): the frames themselves. */
static PyObject *application(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t many)
{
    return of_application(args, many, itself);
}

/* --- places.passed -------------------------------------------------------------------------- */

/* passed(frame, known, ask, root): how many frames of libraries are around `frame`, the codes of the
   innermost and the outermost (None), the application's frames around these (code, instruction), and
   the last frame of all. None where `root` is among the libraries'. */
static PyObject *passed(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t many)
{
    if (many != 4 || !PyFrame_Check(args[0]) || !PyDict_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "a frame, a dict, a function, a frame");
    PyFrameObject *frame = (PyFrameObject *)Py_NewRef(args[0]), *outer = PyFrame_GetBack(frame);
    PyObject *near = Py_NewRef(Py_None), *far = Py_NewRef(Py_None), *result = NULL;
    PyObject *frames = PyList_New(0);
    long between = 0;
    int inside = 0;
    while (frames != NULL && outer != NULL) {
        PyCodeObject *code = PyFrame_GetCode(outer);
        int verdict = is_application(args[1], args[2], code->co_filename);
        if (verdict > 0) {
            PyObject *at = Py_BuildValue("Oi", code, PyFrame_GetLasti(outer));
            verdict = at == NULL ? -1 : PyList_Append(frames, at);
            inside = 1;
            Py_XDECREF(at);
        } else if (verdict == 0 && inside) {
            Py_DECREF(code);
            break;
        } else if (verdict == 0) {
            if ((PyObject *)outer == args[3]) {
                result = Py_NewRef(Py_None);
                verdict = -1;
            }
            Py_SETREF(far, Py_NewRef((PyObject *)code));
            if (!between++)
                Py_SETREF(near, Py_NewRef((PyObject *)code));
        }
        Py_DECREF(code);
        if (verdict < 0)
            goto out;
        Py_SETREF(frame, outer);
        outer = PyFrame_GetBack(frame);
    }
    PyObject *along = frames == NULL ? NULL : PyList_AsTuple(frames);
    if (along != NULL)
        result = Py_BuildValue("lOONO", between, near, far, along, frame);
out:
    Py_XDECREF(frames);
    Py_DECREF(far);
    Py_DECREF(near);
    Py_XDECREF(outer);
    Py_DECREF(frame);
    return result;
}
