"""Available memory is what the tightest of machine and control groups leaves."""

import os

import pytest

from keras_imgcls.data.memory import available_memory

GIB = 2**30


def system(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {16 * GIB // 1024} kB\n"}


def test_the_machine_alone(tmp_path):
    assert available_memory(system(tmp_path, MEMINFO)) == 16 * GIB


def test_version_2_groups_count_up_to_the_root_less_the_file_cache(tmp_path):
    files = {
        "proc/self/cgroup": "0::/pod/container\n",
        "sys/fs/cgroup/pod/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/pod/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/pod/memory.stat": f"anon 5\ninactive_file {GIB}\n",
        "sys/fs/cgroup/pod/container/memory.max": "max\n",
        "sys/fs/cgroup/pod/container/memory.current": f"{GIB}\n",
    }
    assert available_memory(system(tmp_path, MEMINFO | files)) == 2 * GIB


def test_version_1_groups_and_a_path_that_is_not_mounted_here(tmp_path):
    files = {
        "proc/self/cgroup": "5:devices:/\n4:cpu,memory:/docker/abc\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
    }
    assert available_memory(system(tmp_path, MEMINFO | files)) == GIB


def test_a_group_beyond_its_limit_leaves_nothing(tmp_path):
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{GIB}\n",
        "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
    }
    assert available_memory(system(tmp_path, MEMINFO | files)) == 0


def test_half_of_the_machine_where_it_does_not_say(tmp_path):
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available_memory(tmp_path) == physical // 2


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="no /proc on this system")
def test_this_machine_has_some():
    assert available_memory() > 0
