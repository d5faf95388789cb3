"""The images: the archive, each image's contract, and their programs as far as they run without an engine."""

import fnmatch
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import types
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from dockernb.labhost import debian, images

ENTRY_POINT = images.RECIPES / "postgres/rootfs/usr/local/bin/docker-entrypoint.sh"


def make_tree(root, date):
    """A small root file system whose files have the given date."""
    for name in (
        "usr/bin/bash",
        "usr/sbin/dockerd",
        "usr/bin/docker",
        "usr/bin/containerd-shim-runc-v2",
        "etc/passwd",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "usr/lib/modules/6.12").mkdir(parents=True)
    (root / "var/lib/dockernb").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for path in root.rglob("*"):
        os.utime(path, (date, date), follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The archive of all images over a small tree: member name to content."""
    tmp_path = tmp_path_factory.mktemp("images")
    (tmp_path / "envoy").write_bytes(b"\x7fELF")
    images.write(
        make_tree(tmp_path / "tree", 2_000_000_000),
        tmp_path / "images.tar",
        architecture="amd64",
        fetched={"envoy": {"usr/local/bin/envoy": tmp_path / "envoy"}},
        owners={"usr/bin/bash": "bash", "usr/bin/docker": "docker-cli"},
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["envoy", "images.tar", "tree"]
    with tarfile.open(tmp_path / "images.tar") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


@pytest.fixture(scope="module")
def configs(archive):
    """Image name to its whole configuration document."""
    return {
        item["RepoTags"][0].removeprefix("dockernb/").removesuffix(":latest"): json.loads(
            archive[item["Config"]]
        )
        for item in json.loads(archive["manifest.json"])
    }


def layer_members(archive, name):
    """The members of an image's own (uppermost) layer."""
    [item] = [
        item for item in json.loads(archive["manifest.json"]) if f"dockernb/{name}:latest" in item["RepoTags"]
    ]
    with tarfile.open(fileobj=io.BytesIO(archive[item["Layers"][-1]])) as layer:
        return {member.name: member for member in layer}


# The archive


def test_the_same_tree_gives_the_same_bytes_whatever_its_dates(tmp_path):
    digests = set()
    for number, date in enumerate((1_900_000_000, 2_000_000_000)):
        directory = tmp_path / str(number)
        directory.mkdir()
        images.write(
            make_tree(directory / "tree", date),
            directory / "images.tar",
            architecture="amd64",
            fetched={},
            owners={},
        )
        digests.add(hashlib.sha256((directory / "images.tar").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_names_are_digests(archive, configs):
    for item in json.loads(archive["manifest.json"]):
        assert item["Config"] == hashlib.sha256(archive[item["Config"]]).hexdigest() + ".json"
        diff_ids = json.loads(archive[item["Config"]])["rootfs"]["diff_ids"]
        assert diff_ids == [
            f"sha256:{hashlib.sha256(archive[layer]).hexdigest()}" for layer in item["Layers"]
        ]


def test_all_images_share_the_toolbox_layer(configs):
    assert configs.keys() == {recipe.parent.name for recipe in images.RECIPES.glob("*/image.toml")}
    [toolbox] = configs["toolbox"]["rootfs"]["diff_ids"]
    assert {config["rootfs"]["diff_ids"][0] for config in configs.values()} == {toolbox}
    assert configs["web"]["rootfs"]["diff_ids"][:3] == configs["nginx"]["rootfs"]["diff_ids"]
    assert all(len(config["history"]) == len(config["rootfs"]["diff_ids"]) for config in configs.values())


def test_each_image_has_latest_and_a_version(archive):
    tags = {tuple(item["RepoTags"]) for item in json.loads(archive["manifest.json"])}
    assert ("dockernb/postgres:latest", "dockernb/postgres:17") in tags
    assert ("dockernb/nginx:latest", "dockernb/nginx:1.26") in tags
    assert all(len(pair) == 2 for pair in tags)


def test_the_toolbox_is_the_tree_without_the_engine(archive):
    members = layer_members(archive, "toolbox")
    assert {"usr/bin/bash", "usr/bin/docker", "bin", "etc/passwd"} <= members.keys()
    assert not {name for name in members if "dockerd" in name or "containerd" in name or "modules" in name}
    assert members["bin"].issym()
    assert {member.mtime for member in members.values()} == {images.EPOCH}


def test_what_an_image_is_without_is_hidden_by_its_layer(archive):
    assert "usr/bin/.wh.docker" in layer_members(archive, "slim")
    assert not [name for name in layer_members(archive, "toolbox") if images.WHITEOUT in name]


PACKAGES = {
    "usr/bin/ping": "iputils-ping",
    "usr/bin/bash": "bash",
    "usr/lib/python3/one.py": "python3",
    "usr/lib/python3/two/three.py": "python3-psycopg",
    "usr/lib/libz.so": "zlib1g",
    "usr/sbin/dockerd": "docker.io",
    "usr/sbin/nginx": "nginx",
}


def hidden(tmp_path, packages):
    for path in (*PACKAGES, "usr/lib/python3/__pycache__/one.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "usr/sbin/ping6").symlink_to("../bin/ping")
    (tmp_path / "usr/bin/sh").symlink_to("bash")
    (tmp_path / "usr/bin/python").symlink_to("/usr/lib/python3/one.py")
    return [str(path) for path in images.hidden(tmp_path, PACKAGES, packages)]


def test_a_file_beside_those_of_other_packages_is_hidden_by_itself_and_links_go_with_it(tmp_path):
    assert hidden(tmp_path, ["iputils-*"]) == ["usr/bin/ping", "usr/sbin/ping6"]


def test_a_directory_that_nobody_else_needs_is_hidden_as_a_whole_with_what_was_made_there(tmp_path):
    assert hidden(tmp_path, ["python3*"]) == ["usr/bin/python", "usr/lib/python3"]


def test_what_another_package_has_in_it_stays(tmp_path):
    assert hidden(tmp_path, ["python3"]) == ["usr/bin/python", "usr/lib/python3/one.py"]


def test_what_the_toolbox_has_not_need_not_be_hidden(tmp_path):
    assert hidden(tmp_path, ["docker.io"]) == []


def test_every_package_that_an_image_is_without_is_one_of_the_lab_hosts(archive):
    """A pattern that fits nothing would be a tool that comes back under another name."""
    named = debian.read_words((images.RECIPES.parent / "packages.txt").read_text())
    for image in images.images():
        for pattern in image.without:
            if not pattern.startswith("lib"):
                assert fnmatch.filter(named, pattern), f"{image.name}: {pattern}"


# The last line is the host's own: see HOST_ONLY.
KEPT = """
base-files base-passwd libc-bin ncurses-base netbase tzdata bash dash coreutils diffutils findutils grep gzip
hostname mawk sed tar util-linux mount xz-utils zstd gettext-base openssl curl linux-sysctl-defaults
nginx libnginx-mod-stream postgresql-17 python3 python3-psycopg
busybox-static docker.io docker-compose crun
"""


def test_every_tool_of_the_toolbox_is_hidden_from_a_slim_image_or_kept_on_purpose():
    kept = set(KEPT.split())
    [slim] = [image for image in images.images() if image.name == "slim"]
    named = debian.read_words((images.RECIPES.parent / "packages.txt").read_text())
    gone = {name for name in named if any(fnmatch.fnmatch(name, pattern) for pattern in slim.without)}
    assert gone | kept == set(named)
    assert not gone & kept


def test_layers_have_each_directory_before_its_content_and_once(archive):
    for name in ("nginx", "postgres", "api", "web", "lb", "envoy"):
        seen = []
        for path in layer_members(archive, name):
            parent = str(Path(path).parent)
            assert parent == "." or parent in seen, path
            seen.append(path)
        assert len(seen) == len(set(seen))


# Contracts


def test_postgres_keeps_the_official_images_contract(archive, configs):
    config = configs["postgres"]["config"]
    assert config["Volumes"] == {"/var/lib/postgresql/data": {}}
    assert config["ExposedPorts"] == {"5432/tcp": {}}
    assert config["Entrypoint"] == ["docker-entrypoint.sh"]
    assert config["Cmd"] == ["postgres"]
    assert config["StopSignal"] == "SIGINT"
    assert {"PGDATA=/var/lib/postgresql/data", "PG_MAJOR=17", "LANG=C.UTF-8"} <= set(config["Env"])
    members = layer_members(archive, "postgres")
    data = members["var/lib/postgresql/data"]
    assert (data.uid, data.gid, data.mode) == (999, 999, 0o1777)
    assert members["docker-entrypoint-initdb.d"].isdir()
    assert members["usr/local/bin/docker-entrypoint.sh"].mode == 0o755


def test_nginx_keeps_the_official_images_contract(archive, configs):
    config = configs["nginx"]["config"]
    assert config["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert config["Cmd"] == ["nginx", "-g", "daemon off;"]
    assert config["StopSignal"] == "SIGQUIT"
    assert config["ExposedPorts"] == {"80/tcp": {}}
    members = layer_members(archive, "nginx")
    assert members["var/log/nginx/access.log"].linkname == "/dev/stdout"
    assert members["docker-entrypoint.d/20-envsubst-on-templates.sh"].mode == 0o755
    assert members["etc/nginx/nginx.conf"].mode == 0o644


def test_envoy_keeps_the_official_images_contract(archive, configs):
    config = configs["envoy"]["config"]
    assert config["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert config["Cmd"] == ["envoy", "-c", "/etc/envoy/envoy.yaml"]
    assert config["ExposedPorts"] == {"10000/tcp": {}}
    members = layer_members(archive, "envoy")
    program = members["usr/local/bin/envoy"]
    assert (program.mode, program.size, program.uid, program.mtime) == (0o755, 4, 0, images.EPOCH)
    assert members["docker-entrypoint.sh"].mode == 0o755
    assert members["etc/envoy/envoy.yaml"].mode == 0o644


@pytest.mark.parametrize(
    ("given", "run"),
    [
        (["envoy", "-c", "a.yaml"], "envoy -c a.yaml"),
        (["--version"], "envoy --version"),
        (["echo", "hello"], "hello"),
    ],
)
def test_options_alone_are_envoys(tmp_path, given, run):
    (tmp_path / "envoy").write_text('#!/bin/sh\necho envoy "$@"\n')
    (tmp_path / "envoy").chmod(0o755)
    said = subprocess.run(
        ["sh", str(images.RECIPES / "envoy/rootfs/docker-entrypoint.sh"), *given],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout
    assert said.strip() == run


def test_an_image_inherits_from_its_base(configs):
    config = configs["lb"]["config"]
    assert config["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert config["ExposedPorts"] == {"80/tcp": {}, "443/tcp": {}}
    assert {"UPSTREAMS=web-server:80", "LANG=C.UTF-8"} <= set(config["Env"])


def test_a_variable_is_set_once(configs):
    for config in configs.values():
        names = [pair.split("=")[0] for pair in config["config"]["Env"]]
        assert len(names) == len(set(names))


def test_three_tiers_find_each_other_by_default(configs):
    def environment(name):
        return dict(pair.split("=", 1) for pair in configs[name]["config"]["Env"])

    assert environment("api")["DATABASE_URL"] == "postgresql://admin:secret@postgres-db:5432/app"
    assert environment("web")["API_URL"] == "http://api-server:3000"
    assert environment("lb")["UPSTREAMS"] == "web-server:80"
    assert configs["api"]["config"]["ExposedPorts"] == {"3000/tcp": {}}


def test_the_three_services_agree_on_the_volume_of_the_syllabus(archive, configs):
    places = {
        name: {pair for pair in configs[f"{name}-service"]["config"]["Env"] if pair.endswith("=/uploads")}
        for name in ("upload", "process", "delivery")
    }
    assert places == {
        "upload": {"UPLOADS=/uploads"},
        "process": {"UPLOADS=/uploads", "RESULTS=/uploads"},
        "delivery": {"RESULTS=/uploads"},
    }
    for name in ("upload", "delivery"):
        assert configs[f"{name}-service"]["config"]["ExposedPorts"] == {"8000/tcp": {}}
    assert layer_members(archive, "process-service")["tmp/processing"].mode == 0o1777


# Programs

SCRIPTS = [path for _, path, _ in images.copy_files(images.RECIPES) if path.read_bytes().startswith(b"#!")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid(script):
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    subprocess.run([shell, "-n", script], check=True, timeout=10)


class Entry:
    """PostgreSQL's entry point with programs around it that only note how they were called."""

    def __init__(self, root):
        self.data = root / "data"
        self._calls = root / "calls"
        self._bin = root / "bin"
        self._bin.mkdir()
        self._program("id", "echo 999")
        self._program(
            "initdb",
            f'echo "initdb $*" >> {self._calls}\n'
            f'for word; do [[ $word != --pwfile=* ]] || cat "${{word#*=}}" > {root}/password; done\n'
            'echo 17 > "$PGDATA/PG_VERSION"; touch "$PGDATA/pg_hba.conf"',
        )
        self._program(
            "postgres",
            f'echo "postgres $*" >> {self._calls}; case $1 in --single) cat >> {self._calls};; esac',
        )

    def _program(self, name, body):
        (self._bin / name).write_text(f"#!/bin/bash\n{body}\n")
        (self._bin / name).chmod(0o755)

    def run(self, *arguments, **environment):
        return subprocess.run(
            ["bash", ENTRY_POINT, *(arguments or ["postgres"])],
            env={"PATH": f"{self._bin}:/usr/bin:/bin", "PGDATA": str(self.data)} | environment,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )

    @property
    def calls(self):
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def entry(tmp_path):
    return Entry(tmp_path)


def test_postgres_wants_a_password(entry):
    done = entry.run()
    assert done.returncode == 1
    assert done.stderr.startswith("error: the database needs a password: set POSTGRES_PASSWORD (")
    assert len(done.stderr.splitlines()) == 1
    assert entry.calls == []


def test_postgres_without_a_password_when_asked(entry):
    assert entry.run(POSTGRES_HOST_AUTH_METHOD="trust").returncode == 0
    assert (entry.data / "pg_hba.conf").read_text().endswith("host all all all trust\n")


def test_postgres_makes_user_and_database(entry, tmp_path):
    done = entry.run(
        "-c",
        "max_connections=20",
        POSTGRES_PASSWORD='it\'s "secret" $HOME',
        POSTGRES_USER="admin",
        POSTGRES_DB='my "app"',
        POSTGRES_INITDB_ARGS="--data-checksums",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "password").read_text() == 'it\'s "secret" $HOME\n'
    made, single, statement, server = entry.calls
    assert "--username=admin" in made
    assert "--data-checksums" in made
    assert "--no-sync" in made
    assert single.startswith("postgres --single")
    assert statement == 'CREATE DATABASE "my ""app"""'
    assert server == "postgres -c max_connections=20"
    assert (entry.data / "pg_hba.conf").read_text().endswith("host all all all scram-sha-256\n")


def test_postgres_makes_no_second_database_named_postgres(entry):
    entry.run(POSTGRES_PASSWORD="x")
    assert [call.split()[0:2] for call in entry.calls][-1] == ["postgres"]


def test_postgres_takes_settings_from_files(entry, tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    assert entry.run(POSTGRES_PASSWORD_FILE=str(tmp_path / "secret")).returncode == 0
    assert (tmp_path / "password").read_text() == "from a file\n"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"POSTGRES_PASSWORD": "a", "POSTGRES_PASSWORD_FILE": "/b"}, "error: both POSTGRES_PASSWORD and "),
        (
            {"POSTGRES_PASSWORD_FILE": "/none"},
            "error: POSTGRES_PASSWORD_FILE names /none, which cannot be read",
        ),
    ],
)
def test_postgres_refuses_in_one_sentence(entry, environment, sentence):
    done = entry.run(**environment)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1


def test_postgres_refuses_a_directory_that_is_not_empty(entry):
    (entry.data / "lost+found").mkdir(parents=True)
    done = entry.run(POSTGRES_PASSWORD="x")
    assert done.returncode == 1
    assert "is not empty (lost+found)" in done.stderr
    assert f"such as {entry.data}/pgdata" in done.stderr
    assert entry.calls == []


def test_postgres_starts_a_database_that_is_there(entry):
    entry.data.mkdir()
    (entry.data / "PG_VERSION").write_text("17\n")
    assert entry.run().returncode == 0
    assert entry.calls == ["postgres "]


def test_postgres_runs_another_program_untouched(entry):
    assert entry.run("echo", "hello").stdout == "hello\n"
    assert not entry.data.exists()


@pytest.mark.skipif(not shutil.which("envsubst"), reason="gettext-base is not installed")
def test_nginx_templates_fill_in_what_the_environment_has(tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in/sub/a.conf.template").write_text("listen ${PORT}; return 200 $host;\n")
    subprocess.run(
        ["sh", images.RECIPES / "nginx/rootfs/docker-entrypoint.d/20-envsubst-on-templates.sh"],
        env={
            "PATH": "/usr/bin:/bin",
            "PORT": "81",
            "NGINX_ENVSUBST_TEMPLATE_DIR": str(tmp_path / "in"),
            "NGINX_ENVSUBST_OUTPUT_DIR": str(tmp_path / "out"),
        },
        check=True,
        timeout=10,
    )
    assert (tmp_path / "out/sub/a.conf").read_text() == "listen 81; return 200 $host;\n"


# The API, over a database that is only pretended


class FakeConnection:
    """Answers statements, or raises what it is told to."""

    problem = None

    def execute(self, statement, values=()):
        if self.problem:
            raise self.problem
        rows = {"SELECT current": [("17.0",)], "INSERT": [(1,)], "SELECT id": [(1, "a", "today")]}
        self.rows = next((found for start, found in rows.items() if statement.startswith(start)), [])
        return self

    def fetchall(self):
        return self.rows

    def close(self):
        pass


@pytest.fixture
def api(monkeypatch):
    """The API's module, listening on a free port, and the fake psycopg below it."""
    fake = types.ModuleType("psycopg")
    fake.Error = type("Error", (Exception,), {})
    fake.OperationalError = type("OperationalError", (fake.Error,), {})
    fake.connections = []
    fake.refuse = None

    def connect(url, **options):
        if fake.refuse:
            raise fake.OperationalError(fake.refuse)
        assert options["connect_timeout"] > 0
        fake.connections.append(FakeConnection())
        return fake.connections[-1]

    fake.connect = connect
    monkeypatch.setitem(sys.modules, "psycopg", fake)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("api", images.RECIPES / "api/rootfs/app/api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.Api.database = module.Database("postgresql://admin:secret@db:5432/app")
    module.Api.log_message = lambda *arguments: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(path, data=None):
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{server.server_port}{path}", data, timeout=5
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, json.load(problem)

    yield ask, fake
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_the_api_answers(api):
    ask, _ = api
    assert ask("/health") == (200, {"status": "ok", "database": "PostgreSQL 17.0"})
    assert ask("/notes", b'{"text": "gr\xc3\xbc\xc3\x9fe"}') == (201, {"id": 1, "text": "grüße"})
    assert ask("/notes") == (200, [{"id": 1, "text": "a", "written": "today"}])
    assert ask("/nothing")[0] == 404
    assert ask("/notes", b"no json")[0] == 400


def test_the_api_says_where_the_database_is_missing_and_lives_on(api):
    ask, psycopg = api
    psycopg.refuse = "connection\nrefused"
    assert ask("/health") == (503, {"status": "unavailable", "error": "db:5432: connection refused"})
    psycopg.refuse = None
    assert ask("/health")[0] == 200


def test_the_api_replaces_a_broken_connection_once(api):
    ask, psycopg = api
    assert ask("/health")[0] == 200
    psycopg.connections[0].problem = psycopg.OperationalError("server closed the connection")
    assert ask("/health")[0] == 200
    assert len(psycopg.connections) == 2
