//! What of CPython's stable ABI is used here (PEP 384, Python 3.6 to 3.14), declared by hand, and an owned reference.
//!
//! Invariant of this whole library: an [`Object`] is made, used and dropped only by a thread that holds the interpreter's
//! lock. Python calls in here with the lock, and [`without_lock`] is the only place that lets go of it.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::{self, NonNull};

/// The head of every object, with the interpreter's lock (not the free-threaded build): Py_TYPE is a part of the ABI.
#[repr(C)]
pub(crate) struct Raw {
    count: isize,
    kind: *mut Raw,
}

/// A `PyMethodDef`.
#[repr(C)]
pub(crate) struct Method {
    pub(crate) name: *const c_char,
    pub(crate) function: *const c_void,
    pub(crate) flags: c_int,
    pub(crate) documentation: *const c_char,
}

/// A `PyModuleDef`, of which the slots and the hooks for memory stay empty.
#[repr(C)]
pub(crate) struct Module {
    head: Raw,
    init: *const c_void,
    index: isize,
    copy: *const c_void,
    name: *const c_char,
    documentation: *const c_char,
    size: isize,
    methods: *const Method,
    rest: [*const c_void; 4],
}

/// Arguments as a tuple.
pub(crate) const METH_VARARGS: c_int = 0x1;
/// Keywords, too.
pub(crate) const METH_KEYWORDS: c_int = 0x2;
/// One argument.
pub(crate) const METH_O: c_int = 0x8;
/// Arguments as an array; with [`METH_KEYWORDS`] since Python 3.7.
pub(crate) const METH_FASTCALL: c_int = 0x80;
/// PYTHON_ABI_VERSION.
const ABI: c_int = 3;

unsafe extern "C" {
    static mut PyBytes_Type: Raw;
    static mut PyList_Type: Raw;
    static mut PyTuple_Type: Raw;
    static mut PyUnicode_Type: Raw;
    static mut _Py_NoneStruct: Raw;
    static mut _Py_TrueStruct: Raw;
    static mut _Py_FalseStruct: Raw;

    fn Py_IncRef(object: *mut Raw);
    fn Py_DecRef(object: *mut Raw);
    fn PyEval_SaveThread() -> *mut c_void;
    fn PyEval_RestoreThread(state: *mut c_void);
    fn PyErr_CheckSignals() -> c_int;
    fn PyErr_Clear();
    fn PyErr_ExceptionMatches(kind: *mut Raw) -> c_int;
    fn PyErr_Fetch(kind: *mut *mut Raw, value: *mut *mut Raw, trace: *mut *mut Raw);
    fn PyErr_NormalizeException(kind: *mut *mut Raw, value: *mut *mut Raw, trace: *mut *mut Raw);
    fn PyException_SetTraceback(value: *mut Raw, trace: *mut Raw) -> c_int;
    static PyExc_OSError: *mut Raw;
    static PyExc_ValueError: *mut Raw;
    fn PyObject_Call(callable: *mut Raw, arguments: *mut Raw, keywords: *mut Raw) -> *mut Raw;
    fn PyObject_CallFunctionObjArgs(callable: *mut Raw, ...) -> *mut Raw;
    fn PyObject_GetIter(object: *mut Raw) -> *mut Raw;
    fn PyIter_Next(iterator: *mut Raw) -> *mut Raw;
    fn PyErr_Occurred() -> *mut Raw;
    fn PyErr_SetObject(kind: *mut Raw, value: *mut Raw);
    static PyExc_AttributeError: *mut Raw;
    fn PyObject_GetAttrString(object: *mut Raw, name: *const c_char) -> *mut Raw;
    fn PyObject_SetAttr(object: *mut Raw, name: *mut Raw, value: *mut Raw) -> c_int;
    fn PyUnicode_FromStringAndSize(text: *const c_char, size: isize) -> *mut Raw;
    fn PyUnicode_InternFromString(text: *const c_char) -> *mut Raw;
    fn PyUnicode_InternInPlace(text: *mut *mut Raw);
    fn PyUnicode_AsUTF8AndSize(text: *mut Raw, size: *mut isize) -> *const c_char;
    fn PyBytes_FromStringAndSize(bytes: *const c_char, size: isize) -> *mut Raw;
    fn PyBytes_AsString(bytes: *mut Raw) -> *mut c_char;
    fn PyBytes_Size(bytes: *mut Raw) -> isize;
    fn PyByteArray_AsString(bytes: *mut Raw) -> *mut c_char;
    fn PyByteArray_Size(bytes: *mut Raw) -> isize;
    fn PyLong_FromLong(value: c_long) -> *mut Raw;
    fn PyLong_AsLong(value: *mut Raw) -> c_long;
    fn PyList_Size(list: *mut Raw) -> isize;
    fn PyList_GetItem(list: *mut Raw, at: isize) -> *mut Raw;
    fn PyTuple_Size(tuple: *mut Raw) -> isize;
    fn PyTuple_GetItem(tuple: *mut Raw, at: isize) -> *mut Raw;
    fn PyTuple_New(size: isize) -> *mut Raw;
    fn PyTuple_SetItem(tuple: *mut Raw, at: isize, value: *mut Raw) -> c_int;
    fn PyDict_New() -> *mut Raw;
    fn PyDict_Copy(dict: *mut Raw) -> *mut Raw;
    fn PyDict_Update(dict: *mut Raw, other: *mut Raw) -> c_int;
    fn PyDict_Size(dict: *mut Raw) -> isize;
    fn PyDict_GetItem(dict: *mut Raw, key: *mut Raw) -> *mut Raw;
    fn PyDict_SetItem(dict: *mut Raw, key: *mut Raw, value: *mut Raw) -> c_int;
    fn PyCapsule_New(
        pointer: *mut c_void,
        name: *const c_char,
        end: unsafe extern "C" fn(*mut Raw),
    ) -> *mut Raw;
    fn PyCapsule_GetPointer(capsule: *mut Raw, name: *const c_char) -> *mut c_void;
    fn PyCFunction_NewEx(method: *const Method, own: *mut Raw, module: *mut Raw) -> *mut Raw;
    fn Py_GetVersion() -> *const c_char;
    fn PySys_GetObject(name: *const c_char) -> *mut Raw;
    fn PyErr_SetString(kind: *mut Raw, text: *const c_char);
    static PyExc_ImportError: *mut Raw;
    fn PyModule_Create2(module: *mut Module, abi: c_int) -> *mut Raw;
}

/// A Python exception is set: it is to be raised, or to be cleared.
#[derive(Debug)]
pub(crate) struct Raised;

/// An owned reference to an object. Neither Send nor Sync, for the sake of the invariant above.
pub(crate) struct Object(NonNull<Raw>);

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the reference is owned, and nobody uses it any more.
        unsafe { Py_DecRef(self.0.as_ptr()) }
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        // SAFETY: the object is alive, since this refers to it.
        unsafe { Py_IncRef(self.0.as_ptr()) };
        Self(self.0)
    }
}

/// Any value of Python but an exception's absence: what a function of Python's returns.
///
/// # Safety
/// `pointer` is a new reference or null, and if it is null an exception is set.
unsafe fn new(pointer: *mut Raw) -> Result<Object, Raised> {
    NonNull::new(pointer).map(Object).ok_or(Raised)
}

fn done(code: c_int) -> Result<(), Raised> {
    if code < 0 { Err(Raised) } else { Ok(()) }
}

impl Object {
    /// Another reference to what somebody else owns; `None` for null.
    ///
    /// # Safety
    /// `pointer` is an object that is alive, or null.
    pub(crate) unsafe fn borrowed(pointer: *mut Raw) -> Option<Self> {
        let pointer = NonNull::new(pointer)?;
        // SAFETY: as the caller says.
        unsafe { Py_IncRef(pointer.as_ptr()) };
        Some(Self(pointer))
    }

    /// `None`.
    pub(crate) fn none() -> Self {
        // SAFETY: None is alive for as long as Python is.
        unsafe {
            Py_IncRef(&raw mut _Py_NoneStruct);
            Self(NonNull::new_unchecked(&raw mut _Py_NoneStruct))
        }
    }

    /// `True` or `False`.
    pub(crate) fn truth(value: bool) -> Self {
        // SAFETY: both are alive for as long as Python is.
        unsafe {
            let pointer = if value {
                &raw mut _Py_TrueStruct
            } else {
                &raw mut _Py_FalseStruct
            };
            Py_IncRef(pointer);
            Self(NonNull::new_unchecked(pointer))
        }
    }

    /// A `str` of UTF-8.
    pub(crate) fn text(utf8: &[u8]) -> Result<Self, Raised> {
        // SAFETY: pointer and size are those of a slice; what is not UTF-8 raises.
        unsafe {
            new(PyUnicode_FromStringAndSize(
                utf8.as_ptr().cast(),
                utf8.len() as isize,
            ))
        }
    }

    /// A `str` that is the same object wherever it is written.
    pub(crate) fn interned(utf8: &[u8]) -> Result<Self, Raised> {
        let mut pointer = Self::text(utf8)?.into_raw();
        // SAFETY: an owned reference to a `str`, which is replaced by an owned one.
        unsafe {
            PyUnicode_InternInPlace(&raw mut pointer);
            new(pointer)
        }
    }

    /// An attribute's or another constant's name.
    pub(crate) fn name(text: &std::ffi::CStr) -> Result<Self, Raised> {
        // SAFETY: a text that ends with NUL.
        unsafe { new(PyUnicode_InternFromString(text.as_ptr())) }
    }

    /// A `bytes`.
    pub(crate) fn bytes(bytes: &[u8]) -> Result<Self, Raised> {
        // SAFETY: pointer and size are those of a slice.
        unsafe {
            new(PyBytes_FromStringAndSize(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
            ))
        }
    }

    /// An `int`.
    pub(crate) fn number(value: i64) -> Result<Self, Raised> {
        // SAFETY: takes any number.
        unsafe { new(PyLong_FromLong(value)) }
    }

    /// An empty `dict`.
    pub(crate) fn dict() -> Result<Self, Raised> {
        // SAFETY: takes nothing.
        unsafe { new(PyDict_New()) }
    }

    /// A function of this library, bound to `own`.
    pub(crate) fn function(method: &'static Method, own: &Self) -> Result<Self, Raised> {
        // SAFETY: the method's function has the signature that its flags say, and lives as long as the process.
        unsafe { new(PyCFunction_NewEx(method, own.as_raw(), ptr::null_mut())) }
    }

    pub(crate) fn as_raw(&self) -> *mut Raw {
        self.0.as_ptr()
    }

    /// Give the reference away.
    pub(crate) fn into_raw(self) -> *mut Raw {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    /// `True` or `False`, if it is one.
    pub(crate) fn as_truth(&self) -> Option<bool> {
        if ptr::eq(self.as_raw(), &raw const _Py_TrueStruct) {
            Some(true)
        } else if ptr::eq(self.as_raw(), &raw const _Py_FalseStruct) {
            Some(false)
        } else {
            None
        }
    }

    fn is_exactly(&self, kind: *const Raw) -> bool {
        // SAFETY: every object begins with a `Raw`, and is alive.
        ptr::eq(unsafe { self.0.as_ref().kind }, kind)
    }

    /// The bytes, if it is a `bytes` and not of a class below. They live as long as the object.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        if !self.is_exactly(&raw const PyBytes_Type) {
            return None;
        }
        // SAFETY: it is a `bytes`, which is immutable and keeps its memory.
        unsafe {
            let (start, size) = (PyBytes_AsString(self.as_raw()), PyBytes_Size(self.as_raw()));
            Some(std::slice::from_raw_parts(start.cast(), size as usize))
        }
    }

    /// The text, if it is a `str` and not of a class below, and can be written in UTF-8.
    pub(crate) fn as_text(&self) -> Option<&[u8]> {
        if !self.is_exactly(&raw const PyUnicode_Type) {
            return None;
        }
        let mut size = 0;
        // SAFETY: it is a `str`, which keeps its UTF-8 for as long as it lives; null is looked for.
        unsafe {
            let start = PyUnicode_AsUTF8AndSize(self.as_raw(), &raw mut size);
            if start.is_null() {
                PyErr_Clear();
                return None;
            }
            Some(std::slice::from_raw_parts(start.cast(), size as usize))
        }
    }

    /// Where a `bytearray` has its bytes, and how many. It must not be resized while they are used.
    pub(crate) fn buffer(&self) -> (*mut u8, usize) {
        // SAFETY: only called with a `bytearray`, see `Connection::new`.
        unsafe {
            (
                PyByteArray_AsString(self.as_raw()).cast(),
                PyByteArray_Size(self.as_raw()) as usize,
            )
        }
    }

    /// An `int` of this size, or -1.
    pub(crate) fn as_number(&self) -> i64 {
        // SAFETY: takes any object; what is not a number raises.
        unsafe {
            let number = PyLong_AsLong(self.as_raw());
            if number == -1 {
                PyErr_Clear();
            }
            number
        }
    }

    /// The number of items, if it is a `list` and not of a class below.
    pub(crate) fn list_size(&self) -> Option<usize> {
        if !self.is_exactly(&raw const PyList_Type) {
            return None;
        }
        // SAFETY: it is a list.
        usize::try_from(unsafe { PyList_Size(self.as_raw()) }).ok()
    }

    /// An item of a `list`.
    pub(crate) fn list_item(&self, at: usize) -> Option<Self> {
        // SAFETY: what is not a list, or too short, gives null and an exception.
        let item = unsafe { Self::borrowed(PyList_GetItem(self.as_raw(), at as isize)) };
        if item.is_none() {
            clear();
        }
        item
    }

    /// The number of items, if it is a `tuple` and not of a class below.
    pub(crate) fn tuple_size(&self) -> Option<usize> {
        if !self.is_exactly(&raw const PyTuple_Type) {
            return None;
        }
        // SAFETY: it is a tuple.
        usize::try_from(unsafe { PyTuple_Size(self.as_raw()) }).ok()
    }

    /// An item of a `tuple`.
    pub(crate) fn tuple_item(&self, at: usize) -> Option<Self> {
        // SAFETY: what is not a tuple, or too short, gives null and an exception.
        let item = unsafe { Self::borrowed(PyTuple_GetItem(self.as_raw(), at as isize)) };
        if item.is_none() {
            clear();
        }
        item
    }

    /// A copy of a `dict`.
    pub(crate) fn dict_copy(&self) -> Result<Self, Raised> {
        // SAFETY: what is not a dict raises.
        unsafe { new(PyDict_Copy(self.as_raw())) }
    }

    /// How many keys a `dict` has.
    pub(crate) fn dict_size(&self) -> isize {
        // SAFETY: only called with dicts; another object would raise.
        unsafe { PyDict_Size(self.as_raw()) }
    }

    /// A value of a `dict`.
    pub(crate) fn dict_get(&self, key: &Self) -> Option<Self> {
        // SAFETY: what is not a dict, or a key that cannot be hashed, gives null.
        unsafe { Self::borrowed(PyDict_GetItem(self.as_raw(), key.as_raw())) }
    }

    /// Set a value of a `dict`.
    pub(crate) fn dict_set(&self, key: &Self, value: &Self) -> Result<(), Raised> {
        // SAFETY: what is not a dict raises; the dict takes references of its own.
        done(unsafe { PyDict_SetItem(self.as_raw(), key.as_raw(), value.as_raw()) })
    }

    /// Set all that another `dict` has.
    pub(crate) fn dict_update(&self, other: &Self) -> Result<(), Raised> {
        // SAFETY: what are not dicts raise.
        done(unsafe { PyDict_Update(self.as_raw(), other.as_raw()) })
    }

    /// What gives its items, one after the other.
    pub(crate) fn iterator(&self) -> Result<Self, Raised> {
        // SAFETY: what cannot be iterated raises.
        unsafe { new(PyObject_GetIter(self.as_raw())) }
    }

    /// The next item of an iterator.
    pub(crate) fn next(&self) -> Result<Option<Self>, Raised> {
        // SAFETY: only called with what `iterator` gave; null is an exception or the end.
        unsafe {
            let item = PyIter_Next(self.as_raw());
            if item.is_null() && !PyErr_Occurred().is_null() {
                return Err(Raised);
            }
            Ok(NonNull::new(item).map(Self))
        }
    }

    /// Whether it is of this class, and not of one below.
    pub(crate) fn is_of(&self, class: &Self) -> bool {
        self.is_exactly(class.as_raw())
    }

    /// Whether it is a `list`, `tuple`, `str` or `bytes`, and not of a class below.
    pub(crate) fn is_sequence(&self) -> bool {
        let kinds = [
            &raw const PyList_Type,
            &raw const PyTuple_Type,
            &raw const PyUnicode_Type,
            &raw const PyBytes_Type,
        ];
        kinds.into_iter().any(|kind| self.is_exactly(kind))
    }

    /// A method, if it has one of that name.
    pub(crate) fn method(&self, name: &std::ffi::CStr) -> Result<Option<Self>, Raised> {
        match self.attribute(name) {
            Ok(method) => Ok(Some(method)),
            // SAFETY: an exception is set, and the class was before any library was loaded.
            Err(Raised) if unsafe { PyErr_ExceptionMatches(PyExc_AttributeError) } != 0 => {
                clear();
                Ok(None)
            }
            Err(raised) => Err(raised),
        }
    }

    /// Raise this exception.
    pub(crate) fn raise(&self) -> Raised {
        // SAFETY: only called with what `take_raised` gave; its class begins with a `Raw`, as every object does.
        unsafe { PyErr_SetObject(self.0.as_ref().kind, self.as_raw()) };
        Raised
    }

    /// An attribute.
    pub(crate) fn attribute(&self, name: &std::ffi::CStr) -> Result<Self, Raised> {
        // SAFETY: a text that ends with NUL.
        unsafe { new(PyObject_GetAttrString(self.as_raw(), name.as_ptr())) }
    }

    /// Set an attribute.
    pub(crate) fn set_attribute(&self, name: &Self, value: &Self) -> Result<(), Raised> {
        // SAFETY: the object takes references of its own.
        done(unsafe { PyObject_SetAttr(self.as_raw(), name.as_raw(), value.as_raw()) })
    }

    /// Call it without arguments.
    pub(crate) fn call(&self) -> Result<Self, Raised> {
        // SAFETY: the arguments end with null.
        unsafe {
            new(PyObject_CallFunctionObjArgs(
                self.as_raw(),
                ptr::null_mut::<Raw>(),
            ))
        }
    }

    /// Call it with one argument.
    pub(crate) fn call_with(&self, first: &Self) -> Result<Self, Raised> {
        // SAFETY: the arguments end with null.
        unsafe {
            new(PyObject_CallFunctionObjArgs(
                self.as_raw(),
                first.as_raw(),
                ptr::null_mut::<Raw>(),
            ))
        }
    }

    /// Call it with two arguments.
    pub(crate) fn call_with_two(&self, first: &Self, second: &Self) -> Result<Self, Raised> {
        // SAFETY: the arguments end with null.
        unsafe {
            let end = ptr::null_mut::<Raw>();
            new(PyObject_CallFunctionObjArgs(
                self.as_raw(),
                first.as_raw(),
                second.as_raw(),
                end,
            ))
        }
    }

    /// Call it with a tuple of arguments, and perhaps a dict of others.
    pub(crate) fn call_as(
        &self,
        arguments: &Self,
        keywords: Option<&Self>,
    ) -> Result<Self, Raised> {
        let keywords = keywords.map_or(ptr::null_mut(), Self::as_raw);
        // SAFETY: what is not a tuple or a dict raises.
        unsafe { new(PyObject_Call(self.as_raw(), arguments.as_raw(), keywords)) }
    }

    /// A tuple of these.
    pub(crate) fn tuple(items: Vec<Self>) -> Result<Self, Raised> {
        // SAFETY: there are as many items as it says, each set once before anybody sees the tuple.
        unsafe {
            let tuple = new(PyTuple_New(items.len() as isize))?;
            for (at, item) in items.into_iter().enumerate() {
                done(PyTuple_SetItem(
                    tuple.as_raw(),
                    at as isize,
                    item.into_raw(),
                ))?;
            }
            Ok(tuple)
        }
    }
}

/// Forget the exception that is set, if there is one.
pub(crate) fn clear() {
    // SAFETY: takes nothing.
    unsafe { PyErr_Clear() }
}

/// Whether the exception that is set is of this kind.
pub(crate) fn raised_is(kind: &Object) -> bool {
    // SAFETY: an exception is set, and the kind is alive.
    unsafe { PyErr_ExceptionMatches(kind.as_raw()) != 0 }
}

/// Take the exception that is set, with its traceback.
pub(crate) fn take_raised() -> Option<Object> {
    let (mut kind, mut value, mut trace) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: three places for owned references, each of which is owned here afterwards or null.
    unsafe {
        PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut trace);
        PyErr_NormalizeException(&raw mut kind, &raw mut value, &raw mut trace);
        if !value.is_null() && !trace.is_null() {
            PyException_SetTraceback(value, trace);
        }
        drop(NonNull::new(kind).map(Object));
        drop(NonNull::new(trace).map(Object));
        NonNull::new(value).map(Object)
    }
}

/// Raise OSError: nothing more comes over a socket, or something went wrong with it.
pub(crate) fn raise_lost() -> Raised {
    // SAFETY: the class is set before any library is loaded; a text that ends with NUL.
    unsafe { PyErr_SetString(PyExc_OSError, c"the edge closed the connection".as_ptr()) };
    Raised
}

/// Raise ValueError: the edge sent what it does not send.
pub(crate) fn raise_not_a_request() -> Raised {
    // SAFETY: the class is set before any library is loaded; a text that ends with NUL.
    unsafe { PyErr_SetString(PyExc_ValueError, c"a frame that is not a request".as_ptr()) };
    Raised
}

/// Have Python's handlers of signals run.
pub(crate) fn check_signals() -> Result<(), Raised> {
    // SAFETY: takes nothing.
    done(unsafe { PyErr_CheckSignals() })
}

/// Let other threads have the interpreter's lock while `act` runs. It must not touch any object.
pub(crate) fn without_lock<T>(act: impl FnOnce() -> T) -> T {
    // SAFETY: this thread has the lock, and takes it again before it goes on.
    unsafe {
        let state = PyEval_SaveThread();
        let result = act();
        PyEval_RestoreThread(state);
        result
    }
}

/// What a capsule of this library holds.
const CAPSULE: &std::ffi::CStr = c"stead";

/// An object that owns `content`.
pub(crate) fn capsule<T>(content: Box<T>) -> Result<Object, Raised> {
    unsafe extern "C" fn end<T>(capsule: *mut Raw) {
        // SAFETY: the capsule was made below, of a box of a T, and this is called once.
        unsafe {
            drop(Box::from_raw(
                PyCapsule_GetPointer(capsule, CAPSULE.as_ptr()).cast::<T>(),
            ))
        }
    }
    // SAFETY: the pointer is not null and stays what it is until `end`.
    unsafe {
        new(PyCapsule_New(
            Box::into_raw(content).cast(),
            CAPSULE.as_ptr(),
            end::<T>,
        ))
    }
}

/// What a capsule holds; null if it is none of this library.
///
/// # Safety
/// `object` is alive, and if it is a capsule of this library, one of a T.
pub(crate) unsafe fn content<T>(object: *mut Raw) -> *mut T {
    // SAFETY: the name is looked at.
    unsafe { PyCapsule_GetPointer(object, CAPSULE.as_ptr()).cast() }
}

/// The versions of Python that this was tested with.
const MINORS: std::ops::RangeInclusive<u32> = 6..=14;

/// The minor version of this Python 3.
pub(crate) fn minor_version() -> u32 {
    // SAFETY: the version is a constant text that ends with NUL.
    let version = unsafe { std::ffi::CStr::from_ptr(Py_GetVersion()) }.to_bytes();
    let minor = version.strip_prefix(b"3.").unwrap_or_default();
    minor
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, byte| number * 10 + u32::from(byte - b'0'))
}

/// Whether objects here are as this library knows them: in a free-threaded Python, and in a debug build of an old one, they are not.
fn is_known() -> bool {
    // SAFETY: a text that ends with NUL; the object belongs to `sys`.
    let flags = unsafe { Object::borrowed(PySys_GetObject(c"abiflags".as_ptr())) };
    let flags = flags.as_ref().and_then(Object::as_text).unwrap_or_default();
    MINORS.contains(&minor_version()) && !flags.iter().any(|flag| matches!(flag, b'd' | b't'))
}

/// A module with these methods, the last of which is empty. Null, and ImportError, where it cannot be used.
pub(crate) fn module(name: &'static std::ffi::CStr, methods: &'static [Method]) -> *mut Raw {
    if !is_known() {
        // SAFETY: the class is set before any library is loaded; a text that ends with NUL.
        unsafe {
            PyErr_SetString(
                PyExc_ImportError,
                c"not a Python that this library was made for".as_ptr(),
            )
        };
        return ptr::null_mut();
    }
    let module = Box::leak(Box::new(Module {
        head: Raw {
            count: 1,
            kind: ptr::null_mut(),
        },
        init: ptr::null(),
        index: 0,
        copy: ptr::null(),
        name: name.as_ptr(),
        documentation: ptr::null(),
        size: -1,
        methods: methods.as_ptr(),
        rest: [ptr::null(); 4],
    }));
    // SAFETY: the definition lives as long as the process.
    unsafe { PyModule_Create2(module, ABI) }
}

// SAFETY: constants, which nobody writes to.
unsafe impl Sync for Method {}

impl Method {
    /// The end of a list of methods.
    pub(crate) const END: Self = Self {
        name: ptr::null(),
        function: ptr::null(),
        flags: 0,
        documentation: ptr::null(),
    };
}
