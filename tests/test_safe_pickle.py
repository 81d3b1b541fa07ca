"""Pickles of plain data come through; everything else a pickle can do is refused without being done."""

from __future__ import annotations

import builtins
import collections
import contextlib
import io
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from nearfar.errors import InputError
from nearfar.safe_pickle import MAX_DEPTH, load_pickle, loads_pickle, open_pickled_npz

PLAIN = [
    {"a": [1, 2.5, None, True, False, "é", b"x\x00\xff", b"", "", -5, 300, 70_000, 2**40, -(2**63), 2**63]},
    [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, (4, 5)), [[]], {1: {2: {}}}],
    {"set": {1, 2, "x"}, "frozen": frozenset({1, b"y"}), "ordered": collections.OrderedDict(b=1, a=[2])},
    [float("inf"), -0.0, 1e-300],
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::2, ::-1],
    np.array(["ab", "ç", ""]),
    np.array([b"ab", b""]),
    np.array([True, False]),
    np.array([1, 2], ">i4"),
    np.array(5),
    np.zeros((2, 0, 3)),
    np.array([{"x": np.zeros(3)}, [1], None], dtype=object),
    np.array([[1, "b"], [None, 2.5]], dtype=object, order="F"),
    np.array({"S1": {"Walking": np.ones((2, 32, 3), np.float32)}}, dtype=object),
    [np.float32(3), np.int64(-4), np.bool_(True), np.str_("hé"), np.str_(""), np.bytes_(b"ss")],
]


def same(a, b):
    """Equal in value, type, dtype and memory order, through all containers."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        alike = a.dtype == b.dtype and a.shape == b.shape and a.flags.f_contiguous == b.flags.f_contiguous
        return alike and (same(a.tolist(), b.tolist()) if a.dtype == object else a.tobytes() == b.tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b) if isinstance(a, float) else a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_data_is_read_as_pickle_reads_it(value, protocol):
    data = pickle.dumps(value, protocol)
    assert same(loads_pickle(data, "a.pkl"), pickle.loads(data))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
        | st_numpy.arrays(
            st_numpy.scalar_dtypes().filter(lambda d: d.kind in "biufSU" and d.itemsize), st_numpy.array_shapes()
        ),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner) | st.tuples(inner, inner),
        max_leaves=20,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)  # fmt: skip
def test_any_plain_data(value, protocol):
    data = pickle.dumps(value, protocol)
    assert same(loads_pickle(data, "a.pkl"), pickle.loads(data))


def test_shared_parts_stay_shared():
    part = np.arange(3)
    read = loads_pickle(pickle.dumps([part, part, {"again": part}]), "a.pkl")
    assert read[0] is read[1] is read[2]["again"]


def test_numpy_1_and_numpy_2_names():
    """The same array, whichever numpy wrote it."""
    data = pickle.dumps(np.arange(3), protocol=2)
    for written, other in ((b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")):
        assert loads_pickle(data.replace(written, other), "a.pkl").tolist() == [0, 1, 2]


PYTHON_2 = (
    # cPickle.dumps({'a': numpy.array([1., 2.]), u'\xe9': 'caf\xe9', 'n': [1, 10L, True, numpy.float32(3)]}, 2)
    b"\x80\x02}q\x01(U\x01acnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
    b"(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f8K\x00K\x01\x87Rq\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    b"K\x00tb\x89U\x10\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00@tbX\x02\x00\x00\x00\xc3\xa9q\x07U\x04"
    b"caf\xe9U\x01n]q\x08(K\x01\x8a\x01\n\x88cnumpy.core.multiarray\nscalar\nq\x09h\x05U\x02f4K\x00K\x01\x87R(K\x03U"
    b"\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x04\x00\x00@@\x86Reu."
)


def test_what_python_2_wrote():
    read = loads_pickle(PYTHON_2, "a.pkl")
    assert read["a"].tolist() == [1, 2]
    assert read["é"] == "café"
    assert read["n"] == [1, 10, True, 3]
    assert type(read["n"][3]) is np.float32
    as_bytes = loads_pickle(PYTHON_2, "a.pkl", encoding="bytes")
    assert as_bytes["é"] == b"caf\xe9"
    assert as_bytes[b"a"].tolist() == [1, 2]
    # Protocol 0, with its quotes, decimal numbers and marks: {'k': (1, -2L, 1.5, u'\xe9', 'it\'s', False, None)}
    text = b"(dp1\nS'k'\np2\n(I1\nL-2L\nF1.5\nV\xe9\np3\nS\"it's\"\np4\nI00\nNtp5\ns."
    assert loads_pickle(text, "a.pkl") == {"k": (1, -2, 1.5, "é", "it's", False, None)}
    with pytest.raises(InputError, match=r"^a\.pkl: not a pickle, or a damaged one"):
        loads_pickle(PYTHON_2, "a.pkl", encoding="ascii")


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, *call, state=None):
        self.call, self.state = call, state

    def __reduce__(self):
        return self.call if self.state is None else (*self.call, self.state)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(tmp_path, protocol):
    mark = tmp_path / "was_run"
    attacks = [
        Calls(os.system, (f"touch {mark}",)),
        Calls(builtins.eval, (f"open({str(mark)!r}, 'w')",)),
        Calls(builtins.exec, (f"open({str(mark)!r}, 'w')",)),
        Calls(open, (str(mark), "w")),
        Calls(builtins.getattr, (os.path, "join")),
        Calls(builtins.__import__, ("antigravity",)),
        Calls(np.save, (str(mark), np.zeros(1))),
        Calls(np.load, (str(mark),)),
        Calls(np.fromfile, (str(mark),)),
        Calls(np.memmap, (str(mark), "u1", "w+", 0, (8,))),
        Calls(np.zeros, (1 << 40,)),
        Calls(np.ndarray, ((1 << 40,),)),
        Calls(bytearray, (1 << 40,)),
        Calls(range, (1 << 40,)),
        Calls(collections.Counter, ()),
        collections.defaultdict(list),
        Calls(collections.OrderedDict, ([([], 1)],)),
        slice(1),
        Ellipsis,
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.dtype("f8", metadata={"a": 1}),
        np.zeros(2, np.dtype("f8")).view(np.recarray),
        np.ma.masked_array([1, 2]),
        np.random.default_rng(0),
        pytest,
        test_nothing_is_run,
    ]  # fmt: skip
    for attack in attacks:
        for value in (attack, {"a": [attack]}, np.array([attack, None], dtype=object)):
            try:
                data = pickle.dumps(value, protocol)
            except (TypeError, pickle.PicklingError):  # not every one has a form in every protocol (or any)
                continue
            with pytest.raises(InputError, match=r"^a\.pkl: .*expected .*\(at byte \d+\)$"):
                loads_pickle(data, "a.pkl")
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch was_run'\ntR.",
        b"(S'touch was_run'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch was_run'\no.",  # OBJ
        b"\x80\x02c__builtin__\neval\nU\x0eopen('was_run')\x85R.",
        b"\x80\x02cnumpy.testing._private.utils\nruncmd\n.",
        b"\x80\x02cnumpy.testing._private.utils\nrunstring\nU\x041+1\x0a}\x86R.",
        b"\x80\x04\x8c\x05numpy\x8c\x0ctesting.rund\x93.",
        b"\x80\x04\x8c\x13collections.abc.sys\x8c\x07modules\x93.",
        b"\x80\x04\x8c\x03o\ns\x8c\x06system\x93.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"\x80\x02cnumpy\nndarray\nK\x05\x85R.",  # ndarray itself may not be called
        b"\x80\x04cnumpy\nndarray\n)}\x92.",  # NEWOBJ_EX
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pid\n.",  # PERSID
        b"N\x51.",  # BINPERSID
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02}}(U\x01ad\x86b.",  # BUILD on a dict
        b"\x80\x02cnumpy\ndtype\n}U\x01ad\x86b.",  # BUILD on a name
        b"\x80\x02cnumpy\ndtype\n.",  # a name as the result
        b"\x80\x02cnumpy\ndtype\nU\x02f8\x85R.",  # a dtype as the result
        b"\x80\x02]cnumpy\ndtype\na.",
        b"\x80\x02U\x01a)R.",  # a call of a string
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x08\x00\x00\x00uu_codec\x86R.",
        b"\x80\x02c_codecs\ndecode\n.",
    ],
)
def test_opcodes_by_hand(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^a\.pkl: ") as error:
        loads_pickle(data, "a.pkl")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def array_pickle(shape=(2,), dtype="f8", data=b"\0" * 16, state=("<", None, None, None), version=1, start=(0,)):
    """An array as numpy writes it, with whatever is to be wrong in it."""
    dtype_reduce = (np.dtype, (dtype, False, True), (3, *state, -1, -1, 0))

    class DType:
        def __reduce__(self):
            return dtype_reduce

    class Array:
        def __reduce__(self):
            rebuild = np.zeros(1).__reduce__()[0]
            return rebuild, (np.ndarray, start, b"b"), (version, shape, DType(), False, data)

    return pickle.dumps(Array(), 4)


def test_the_array_made_by_hand_is_right():
    assert loads_pickle(array_pickle(), "a.pkl").tolist() == [0, 0]


def billion_laughs(levels=40):
    value: list = [0]
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (3,)}, "shape"),
        ({"shape": (1 << 40,)}, r"shape \(1099511627776,\) of float64 does not fit its 16 bytes"),
        ({"shape": (1 << 62, 1 << 62)}, "shape"),
        ({"shape": (-2,)}, "shape"),
        ({"shape": (-1, -2)}, "shape"),
        ({"shape": (2.0,)}, "shape"),
        ({"shape": (True, 2)}, "shape"),
        ({"shape": 2}, "shape"),
        ({"shape": (1,) * 33 + (2,)}, "shape"),
        ({"data": [0.0, 0.0]}, "expected bytes"),
        ({"data": None}, "expected bytes"),
        ({"dtype": "O8"}, "array of objects"),
        ({"dtype": "O8", "data": [1]}, "array of objects: its shape does not fit"),
        ({"dtype": "O8", "data": (1, 2)}, "array of objects"),
        ({"dtype": "O8", "shape": billion_laughs(), "data": None}, "array of objects"),
        ({"dtype": "f8", "shape": billion_laughs(), "data": b""}, "shape"),
        ({"dtype": "f8", "start": billion_laughs()}, "expected a plain numpy array"),
        ({"dtype": billion_laughs()}, "expected a string"),
        ({"state": ("<", billion_laughs(), None, None)}, "without fields"),
        ({"dtype": "O8", "shape": (1 << 40,), "data": [1, 2]}, "array of objects"),
        ({"dtype": "S0", "shape": (1 << 40,), "data": b""}, "does not fit"),
        ({"dtype": "S999999999"}, "does not fit"),
        ({"dtype": "f3"}, "damaged"),
        ({"dtype": "V8"}, "numpy dtype 'V8'"),
        ({"dtype": "f8,f8"}, "numpy dtype"),
        ({"dtype": "(1000000000,)f8"}, "numpy dtype"),
        ({"dtype": ""}, "numpy dtype"),
        ({"dtype": 8}, "expected a string"),
        ({"dtype": "M8", "state": ("<", None, None, None)}, "numpy dtype 'M8'"),
        ({"state": ("<", None, ("a",), {"a": 1})}, "without fields"),
        ({"state": ("<", ("f8", (1 << 40,)), None, None)}, "without fields"),
        ({"state": ("?", None, None, None)}, "byte order"),
        ({"start": (1 << 40,)}, "expected a plain numpy array"),
        ({"dtype": "U2", "data": b"\xff" * 16}, "not Unicode"),
        ({"dtype": "U2", "data": b"\0\xd8\0\0" * 4}, "not Unicode"),
    ],
)
def test_arrays_that_declare_what_they_are_not(wrong, message):
    with pytest.raises(InputError, match=rf"^a\.pkl: .*{message}"):
        loads_pickle(array_pickle(**wrong), "a.pkl")


def test_an_array_is_built_once():
    rebuild = array_pickle()
    state = rebuild[: rebuild.rindex(b"b")]
    with pytest.raises(InputError, match=r"a\.pkl"):
        loads_pickle(state + b"bNb.", "a.pkl")
    twice = rebuild.replace(b"b.", b"b(K\x01K\x02\x85NN\x89tb.")
    with pytest.raises(InputError, match=r"a\.pkl: "):
        loads_pickle(twice, "a.pkl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b"abc.", "bytes are declared"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 50) + b"abc.", "bytes are declared"),
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 50) + b"abc.", "bytes are declared"),
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"\x8e" + struct.pack("<Q", 1 << 60) + b".", "are declared"),
        (b"\x80\x03B" + struct.pack("<I", (1 << 32) - 1) + b"abc.", "bytes are declared"),
        (b"\x80\x02T" + struct.pack("<i", -1) + b"abc.", "bytes are declared"),
        (b"\x80\x02\x8b" + struct.pack("<I", (1 << 31)) + b"abc.", "a whole number of 2147483648 bytes"),
        (b"I" + b"9" * 100_000 + b"\n.", "a whole number of 100000 digits"),
        (b"L" + b"9" * 100_000 + b"L\n.", "a whole number of"),
        (b"p" + b"9" * 100_000 + b"\n.", "damaged"),
        (b"", "damaged"),
        (b".", "damaged"),
        (b"\x80\x02N", "damaged"),
        (b"not a pickle", "opcode b'n'"),
        (b"\x80\x02" + b"(" * 100_000 + b".", "damaged"),
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "nested more than"),
        (b"\x80\x02N" + b"\x85" * 100_000 + b".", "nested more than"),
        (b"\x80\x02}N" + b"\x85" * 100_000 + b"Ns.", "as a key"),
        (b"\x80\x02}q\x00U\x01ah\x00s.", "contains itself"),
        (b"\x80\x02]q\x00h\x00a.", "contains itself"),
        (b"\x80\x02]q\x00h\x00\x85a.", "contains itself"),
        (b"\x80\x04}](NeNs.", "as a key"),
        (b"\x80\x04}G\x3f\xf0\0\0\0\0\0\0Ns.", "as a key"),
        (b"\x80\x04}(NNNu.", "damaged"),
        (b"\x80\x04\x8f(]\x90.", "as a key"),
        (b"\x80\x04NNa.", "expected a list"),
        (b"\x80\x04]NNs.", "expected a dict"),
        (b"V\\ud800\n.", "damaged"),
        (b"\x80\x04\x8c\x03\xed\xa0\x80.", "damaged"),
        (pickle.dumps(billion_laughs()), "repeated so often"),
        (pickle.dumps([np.zeros(1 << 17)] * 1000), "repeated so often"),
    ],
)
def test_small_files_stay_small(data, message):
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message):
            loads_pickle(data, "a.pkl")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (1 << 20) + 300 * len(data)


def test_depth_is_measured_through_shared_parts():
    """Chains that hang on each other, each met before it hangs deep."""
    chain: list = []
    out = []
    for _ in range(10):
        for _ in range(MAX_DEPTH // 2):
            chain = [chain]
        out.append(chain)
    with pytest.raises(InputError, match="nested more than"):
        loads_pickle(pickle.dumps(out), "a.pkl")
    inner: list = []
    for _ in range(MAX_DEPTH - 2):
        inner = [inner]
    assert loads_pickle(pickle.dumps(inner), "a.pkl") == inner


FUZZED = [pickle.dumps(PLAIN, protocol) for protocol in (0, 2, 4, 5)] + [PYTHON_2, array_pickle()]


@given(st.sampled_from(FUZZED), st.data())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_pickles_are_refused_or_read(data, draw):
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    damaged = damaged[: draw.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))]
    try:
        value = loads_pickle(bytes(damaged), "a.pkl")
    except InputError:
        return
    repr(value)


@given(st.lists(st.sampled_from([bytes([code]) for code in range(256)] + [b"K\x00", b"U\x01a", b"q\x00", b"h\x00"])))
def test_any_bytes(parts):
    with contextlib.suppress(InputError):
        loads_pickle(b"".join(parts) + b".", "a.pkl")


def test_load_pickle_names_the_file(tmp_path):
    path = tmp_path / "a.pkl"
    with pytest.raises(InputError, match=r"a\.pkl: no such file"):
        load_pickle(path)
    with pytest.raises(InputError, match="not a file"):
        load_pickle(tmp_path)
    path.write_bytes(pickle.dumps({"a": 1})[:-1])
    with pytest.raises(InputError, match=r"a\.pkl: not a pickle, or a damaged one \(at byte"):
        load_pickle(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    assert load_pickle(path) == {"a": 1}


NESTED = {"S1": {"Walking 1": np.ones((3, 32, 3), np.float32)}, "S5": {"Eating": np.zeros((1, 32, 3), np.float32)}}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_objects(tmp_path, save):
    path = tmp_path / "data_3d.npz"
    ragged = np.array([np.zeros(2), np.zeros(3)], dtype=object)
    arrays = {"positions_3d": NESTED, "numbers": np.arange(6).reshape(2, 3, order="F"), "ragged": ragged, "text": "x"}
    save(path, **arrays)
    read = open_pickled_npz(path)
    assert same(read["positions_3d"], NESTED)
    assert same(read["numbers"], arrays["numbers"])
    assert [len(part) for part in read["ragged"]] == [2, 3]
    assert read["text"] == "x"


def npz(path, members, **kwargs):
    with zipfile.ZipFile(path, "w", **kwargs) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(header, data=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


OBJECT = "{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }\n"), "does not fit its 0 bytes"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n", b"\0" * 8), "shape"),
        (npy("{'descr': '|V0', 'fortran_order': False, 'shape': (1099511627776,), }\n"), "expected numbers or text"),
        (npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }\n", b"\0" * 8), "expected numbers"),
        (npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }\n", b"N."), "expected numbers"),
        (npy("{'descr': '<f8', 'fortran_order': False}\n"), "damaged header"),
        (npy("{'descr': __import__('os'), 'fortran_order': False, 'shape': (), }\n"), "damaged header"),
        (npy("{" * 5000), "damaged header"),
        (npy("("), "damaged header"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 400 + ")" * 400 + "}\n"), "damaged header"),
        (b"\x93NUMPY\x09\x00", "damaged header"),
        (b"", "damaged header"),
        (npy(OBJECT, pickle.dumps(Calls(os.system, ("true",)))), "asks for 'posix.system'"),
        (npy(OBJECT, pickle.dumps({"a": 1})), "not the array of shape"),
        (npy(OBJECT, pickle.dumps(np.zeros(3))), "not the array of shape"),
        (npy(OBJECT), "damaged"),
    ],
)
def test_npz_with_bad_members(tmp_path, member, message):
    with pytest.raises(InputError, match=rf"a\.npz: array 'x': .*{message}") as error:
        open_pickled_npz(npz(tmp_path / "a.npz", {"x.npy": member}))
    assert "\n" not in str(error.value)


def test_zip_bombs(tmp_path):
    zeros = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (300000000,), }\n") + bytes(300_000_000)
    path = npz(tmp_path / "bomb.npz", {"x.npy": zeros}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match=r"bomb\.npz: claims to unpack to 3000000\d\d bytes"):
        open_pickled_npz(path)
    # The same bomb, declared as small: no more than declared is unpacked.
    data = path.read_bytes()
    lying = data.replace(struct.pack("<I", len(zeros)), struct.pack("<I", 1000))
    assert lying != data
    (tmp_path / "liar.npz").write_bytes(lying)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"liar\.npz"):
            open_pickled_npz(tmp_path / "liar.npz")
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(InputError, match=r"expected one as numpy\.savez writes it"):
        open_pickled_npz(npz(tmp_path / "b.npz", {"x.npy": b""}, compression=zipfile.ZIP_LZMA))


@given(st.booleans(), st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_npz(tmp_path, compressed, draw):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, positions_3d=NESTED, numbers=np.arange(6))
    data = bytearray(buffer.getvalue())
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    path = tmp_path / "a.npz"
    path.write_bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    with contextlib.suppress(InputError):
        open_pickled_npz(path)
