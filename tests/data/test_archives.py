"""Archives read like folders, and lists of files that are made once."""

import os
import tarfile
import zipfile

import mmengine
import pytest

from mim_bench.cli.main import main
from mim_bench.data import archives, listing
from mim_bench.data.archives import file_facts, is_file, is_folder, pack, read_file
from mim_bench.data.listing import class_folders, list_files
from mim_bench.errors import DataError

FILES = {
    'train/b/1.jpg': b'one',
    'train/b/2.JPEG': b'two' * 5000,
    'train/b-side/3.jpg': b'three',
    'train/a/deep/4.jpg': b'four',
    'train/a/notes.md': b'',
    'meta/val.txt': b'a.jpg 0\n',
    'ünicode/5.png': b'five',
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / 'data' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / 'data'


@pytest.fixture(params=['.zip', '.tar'])
def archive(folder, request):
    path = folder.with_suffix(request.param)
    pack(folder, path, list_files(folder, ('',)).files)
    return path


def test_an_archive_holds_what_its_folder_holds(folder, archive):
    for name, content in FILES.items():
        assert read_file(archive / name) == content
        assert file_facts(archive / name)[0] == len(content)
        assert is_file(archive / name)
        assert not is_folder(archive / name)
    for name in ('', 'train', 'train/a/deep'):
        assert is_folder(archive / name)
        assert list_files(archive / name) == list_files(folder / name)
    assert class_folders(archive / 'train') == class_folders(folder / 'train')
    assert class_folders(archive / 'train') == ['a', 'b', 'b-side']
    assert not is_folder(archive / 'val')
    assert list_files(archive / 'val').files == []


def test_what_is_not_in_an_archive_is_not_there(archive):
    assert not is_file(archive / 'train/b/9.jpg')
    with pytest.raises(FileNotFoundError, match=r'9\.jpg'):
        read_file(archive / 'train/b/9.jpg')


def test_mmengine_reads_archives_by_plain_paths(archive):
    text = str(archive / 'meta/val.txt')
    assert mmengine.fileio.exists(text)
    assert mmengine.list_from_file(text) == ['a.jpg 0']


def test_forked_processes_read_one_open_archive_at_once(archive):
    read_file(archive / 'train/b/1.jpg')
    child = os.fork()
    rounds = (read_file(archive / name) == FILES[name] for _ in range(300) for name in FILES)
    if not child:
        os._exit(0 if all(rounds) else 1)
    assert all(rounds)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize('ending', ['.zip', '.tar'])
def test_pack_names_what_it_cannot_read(folder, ending):
    (folder / 'train/a/gone.jpg').symlink_to('nowhere')
    with pytest.raises(DataError, match=r'train/a/gone\.jpg: cannot be read \(No such file'):
        pack(folder, folder.with_suffix(ending), list_files(folder, ('',)).files)


def test_names_that_are_no_utf8_are_packed_into_a_tar_alone(folder):
    with open(os.fsencode(folder) + b'/train/caf\xe9.jpg', 'wb') as file:
        file.write(b'six')
    names = list_files(folder, ('',)).files
    with pytest.raises(DataError, match=r"caf\\xe9\.jpg' is no UTF-8.*pack into a tar"):
        pack(folder, folder.with_suffix('.zip'), names)
    pack(folder, folder.with_suffix('.tar'), names)
    assert list_files(folder.with_suffix('.tar'), ('',)).files == names


def test_packing_twice_gives_the_same_bytes(folder, archive):
    other = folder.with_name(f'other{archive.suffix}')
    pack(folder, other, list_files(folder, ('',)).files)
    assert other.read_bytes() == archive.read_bytes()


def test_an_archive_that_was_made_anew_is_indexed_anew(folder, archive):
    archives._opened.cache_clear()
    archive.unlink()
    (folder / 'train/b/1.jpg').write_bytes(b'another')
    pack(folder, archive, ['train/b/1.jpg'])
    archives._opened.cache_clear()
    assert read_file(archive / 'train/b/1.jpg') == b'another'
    assert not is_file(archive / 'train/b/2.JPEG')


def test_compressed_archives_are_refused(folder):
    path = folder.with_suffix('.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('a.jpg', b'0' * 100)
    with pytest.raises(DataError, match=r'a\.jpg is compressed'):
        read_file(path / 'a.jpg')


def test_a_file_of_two_names_and_one_that_was_added_again_are_read_from_a_tar(folder):
    os.link(folder / 'train/b/1.jpg', folder / 'train/b/same.jpg')
    path = folder.with_suffix('.tar')
    with tarfile.open(path, 'w') as file:
        file.add(folder, '.')
        (folder / 'train/a/deep/4.jpg').write_bytes(b'newer')
        file.add(folder / 'train/a', './train/a')

    assert list_files(path) == list_files(folder)
    assert read_file(path / 'train/b/same.jpg') == read_file(path / 'train/b/1.jpg') == b'one'
    assert read_file(path / 'train/a/deep/4.jpg') == b'newer'


@pytest.mark.parametrize('name', ['data.zip', 'data.tar'])
def test_archives_of_links_are_refused(name, folder):
    (folder / 'train/b/link.jpg').symlink_to('1.jpg')
    path = folder.with_name(name)
    if path.suffix == '.tar':
        with tarfile.open(path, 'w') as file:
            file.add(folder, '.')
    else:
        info = zipfile.ZipInfo('train/b/link.jpg')
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(path, 'w') as file:
            file.writestr(info, '1.jpg')

    with pytest.raises(DataError, match=r'train/b/link\.jpg is a link in it, not a file \(1 in'):
        is_folder(path / 'train')


@pytest.mark.parametrize('name', ['data.zip', 'data.tar'])
def test_damaged_archives_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b'nothing of the kind' * 100)
    with pytest.raises(DataError, match='is not a complete'):
        is_folder(tmp_path / name / 'train')


@pytest.mark.parametrize('name', ['data.rar', 'data.zip'])
def test_pack_refuses_other_names_and_existing_files(name, folder, capsys):
    folder.with_suffix('.zip').write_bytes(b'')
    assert main(['data', 'pack', str(folder), str(folder.with_name(name))]) == 1
    assert 'Choose another name' in capsys.readouterr().err


# ---- kept lists --------------------------------------------------------------------------------


@pytest.fixture
def walks(monkeypatch):
    """How often a folder was walked; lists are kept from two files on."""
    counted = []
    walk = listing._walk
    monkeypatch.setattr(listing, 'KEPT_FROM', 2)
    monkeypatch.setattr(listing, '_walk', lambda folder: counted.append(folder) or walk(folder))
    return counted


def test_a_second_start_does_not_walk(folder, walks):
    first = list_files(folder / 'train')
    assert list_files(folder / 'train') == first
    assert len(walks) == 1
    assert list_files(folder / 'train', ('.md',)).files == ['a/notes.md']
    assert len(walks) == 1


@pytest.mark.parametrize('name', ['train/b/9.jpg', 'train/a/deep/9.jpg', 'train/c/9.jpg'])
def test_files_that_came_or_went_are_found(name, folder, walks):
    before = list_files(folder / 'train').files
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'')
    inside = name.removeprefix('train/')
    assert list_files(folder / 'train').files == sorted([*before, inside])
    path.unlink()
    assert list_files(folder / 'train').files == before
    assert len(walks) == 3


def test_a_torn_list_is_made_again(folder, walks):
    before = list_files(folder / 'train')
    (kept,) = folder.glob('.train.*')
    kept.write_text(kept.read_text()[:-4])
    assert list_files(folder / 'train') == before
    assert len(walks) == 2


def test_data_that_cannot_be_written_beside_keep_their_list_in_the_cache(
    folder, walks, monkeypatch, tmp_path
):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    places = listing.list_places

    def unwritable(source, kind):
        return [folder / 'meta/val.txt/none', *places(source, kind)[1:]]

    monkeypatch.setattr(listing, 'list_places', unwritable)
    monkeypatch.setattr('mim_bench.data.kept_list.list_places', unwritable)
    first = list_files(folder / 'train')
    assert list_files(folder / 'train') == first
    assert len(walks) == 1
    assert len(list((tmp_path / 'cache/mim_bench/lists').iterdir())) == 1
