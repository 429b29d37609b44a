"""The list of released weights: complete, unique, and refused where it is damaged."""

from pathlib import Path

import pytest
import yaml

from mim_bench.conversion.manifest import DEFAULT_MANIFEST, read_manifest
from mim_bench.conversion.sources import SOURCES
from mim_bench.errors import CheckpointError
from mim_bench.published.numbers import load_published
from mim_bench.report.catalogue import method_links, method_title

ROOT = Path(__file__).parents[1]
RELEASES = read_manifest()


def test_default_manifest_is_that_of_the_repository():
    assert ROOT / 'checkpoints' / 'manifest.yml' == DEFAULT_MANIFEST


def all_but(holds):
    """The names of the releases of which something does not hold."""
    return [release.id for release in RELEASES if not holds(release)]


def test_releases_fit_what_the_project_has():
    assert all_but(lambda release: release.source in SOURCES) == []
    assert all_but(lambda release: not release.config or (ROOT / release.config).is_file()) == []
    assert all_but(lambda r: SOURCES[r.source].licence in (None, r.licence)) == []


def test_methods_of_releases_formats_and_published_numbers_have_titles():
    stated = {source.method for source in SOURCES.values() if isinstance(source.method, str)}
    known = stated | {one.method for one in (*RELEASES, *load_published())}
    no_title = {name for name in known if method_title(name) == name and not method_links(name)}
    assert no_title == set()


def test_release_names_tell_backbone_method_and_epochs():
    def tells(release):
        epochs = f'-{release.pretrain_epochs}e-' if release.pretrain_epochs is not None else ''
        is_of = release.id.startswith(release.backbone.split('-w')[0])
        return is_of and release.method in release.id and epochs in release.id

    assert all_but(tells) == []


def test_release_files_are_those_of_their_addresses_and_checksums():
    def is_of_its_address(release):
        is_drive = release.url is None or 'drive.google.com' in release.url
        return is_drive or release.url.endswith(f'/{release.file}')

    def is_of_its_checksum(release):
        if release.source != 'mmpretrain':  # there the name ends in the first digits of the hash
            return True
        digits = release.file.rpartition('-')[2].removesuffix('.pth')
        return release.checksum == f'sha256:{digits}'

    assert all_but(is_of_its_address) == []
    assert all_but(is_of_its_checksum) == []


@pytest.mark.parametrize('key', ['file', 'url'])
def test_no_two_releases_share_a_file_or_an_address(key):
    values = [value for release in RELEASES if (value := getattr(release, key))]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'sha256': 'abc'}, r"0 \(swin-tiny.ummae-.*\)\.sha256: .*pattern.*not 'abc'"),
        ({'checksum': 'md5:12'}, r'checksum: .*pattern'),
        ({'url': 'ftp://host/a.pth'}, r'url: .*pattern'),
        ({'file': '../a.pth'}, r'file: .*pattern'),
        ({'licnce': 'MIT'}, "licnce: nothing reads this key .did you mean 'licence'"),
        ({'published_place': None}, 'published_top1 and published_place come together'),
        ({}, r"\['swin-tiny.*'\] stand there twice"),
    ],
)
def test_read_manifest_wrong_entry_raises(change, message, tmp_path):
    entry = yaml.safe_load(DEFAULT_MANIFEST.read_text())[2]
    (tmp_path / 'm.yml').write_text(yaml.safe_dump([entry | change, *([] if change else [entry])]))
    with pytest.raises(CheckpointError, match=message):
        read_manifest(tmp_path / 'm.yml')


@pytest.mark.parametrize(
    ('text', 'message'),
    [('a: 1', 'should be a valid array'), ('[a', 'cannot be read'), ('', 'valid array, not None')],
)
def test_read_manifest_no_list_raises(text, message, tmp_path):
    (tmp_path / 'm.yml').write_text(text)
    with pytest.raises(CheckpointError, match=rf'm\.yml: .*{message}'):
        read_manifest(tmp_path / 'm.yml')


def test_read_manifest_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match='--manifest'):
        read_manifest(tmp_path / 'm.yml')
