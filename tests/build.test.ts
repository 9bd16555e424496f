/** Builds, performed: what is in the image, what is cached, what is left when they fail. As root and as a user. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { build, buildCacheUsage, planBuild, pruneBuildCache, type BuildOptions } from "../lib/build/index.ts";
import { agentSocket } from "../lib/build/key-agent.ts";
import { agentMount } from "../lib/build/ssh.ts";
import { Workspace } from "../lib/build/workspace.ts";
import { imageIds } from "../lib/launch/index.ts";
import { descendants, eventually } from "./support/processes.ts";
import { noBusybox, noLimits, testUnless } from "./support/machine.ts";
import { noRegistry, startRegistry } from "./support/registry.ts";
import { failedBuild, TestBuilds } from "./support/builds.ts";
import { failureOf } from "./support/failure.ts";

let builds: TestBuilds;
const buildContext = (options: BuildOptions) => build(builds.root, { tags: ["made"], ...options });
const never = (): never => {
  throw new Error("it is there");
};

beforeAll(async () => {
  if (noBusybox === undefined) builds = await TestBuilds.make();
});
afterAll(() => builds?.[Symbol.dispose]());

const it = (name: string, body: () => unknown, timeoutMs?: number) => testUnless(noBusybox, name, body, timeoutMs);

const hasOneId = process.geteuid?.() !== 0 && imageIds() === undefined;
const noOthers = noBusybox ?? (hasOneId ? "this user has no subordinate ids" : undefined);
const itWithOthers = (name: string, body: () => unknown) => testUnless(noOthers, name, body);

const noKeys = Bun.which("ssh-keygen") ? undefined : "ssh-keygen is not installed";
const itWithKeys = (name: string, body: () => unknown) => testUnless(noBusybox ?? noKeys, name, body);

describe("an image", () => {
  itWithOthers("has what its steps wrote, and runs as its config says", async () => {
    builds.context.write("app/index", "program");
    await builds.build(`FROM base
ARG WHO=world
ENV A=1 B="two words"
WORKDIR /srv/app
COPY app/index .
RUN echo "hello $WHO $B" > greeting && rm /etc/group && chown 1000:1001 greeting
USER app
CMD ["sh", "-c", "cat greeting index; id -u; pwd"]`);
    expect(await builds.run("cat greeting index; id -u; pwd; test -e /etc/group || echo gone")).toBe(
      "hello world two words\nprogram1000\n/srv/app\ngone\n",
    );
    expect(await builds.run("stat -c %u:%g /srv/app/greeting /srv/app/index /srv/app")).toBe("1000:1001\n0:0\n0:0\n");
    using images = builds.images();
    const { Config: config } = await images.inspect("made");
    expect(config?.Env?.slice(1)).toEqual(["A=1", "B=two words"]);
    expect(config).toMatchObject({ User: "app", WorkingDir: "/srv/app" });
    const history = await images.history("made");
    expect(history.slice(0, 3).map(({ createdBy }) => createdBy)).toEqual([
      'CMD ["sh", "-c", "cat greeting index; id -u; pwd"]',
      "USER app",
      'RUN |1 WHO=world /bin/sh -c echo "hello $WHO $B" > greeting && rm /etc/group && chown 1000:1001 greeting',
    ]);
  });

  it("has nothing of what a sandbox was mounted with", async () => {
    await builds.build("FROM base\nRUN --mount=type=tmpfs,target=/a/b/c touch /a/b/c/x; true > /dev/null");
    expect(await builds.run("ls -d /a /etc/hosts /proc/self 2>&1 | head -1")).toContain("/a: No such file");
    using images = builds.images();
    expect((await images.inspect("made")).RootFS.Layers).toHaveLength(1);
  });

  it("can begin with nothing", async () => {
    await builds.build(
      "FROM base AS tools\nRUN mkdir /out && echo x > /out/file\nFROM scratch\nCOPY --from=tools /out/file /file\nCOPY --from=base /bin /bin",
    );
    expect(await builds.run("cat /file; ls /")).toMatch(/^x\nbin\n/);
  });

  it("is the same with the same SOURCE_DATE_EPOCH, whoever builds it", async () => {
    builds.context.write("same", "content");
    const text = "FROM base\nCOPY same /\nRUN echo 1 > /one; mkdir /d\nLABEL a=b";
    const args = { SOURCE_DATE_EPOCH: "1000000000" };
    const first = await builds.build(text, { args });
    utimesSync(join(builds.context.path, "same"), 2_000_000_000, 2_000_000_000);
    const again = await builds.build(text, { args, cache: false });
    expect(again.performed).toBe(2);
    expect(again.id).toBe(first.id as string);
    using images = builds.images();
    expect((await images.inspect("made")).Created).toBe("2001-09-09T01:46:40.000Z");
    expect(await builds.run("stat -c %Y /one /d /same")).toBe("1000000000\n".repeat(3));
  });

  it("has files of root, whoever builds it", async () => {
    builds.context.write("same", "content");
    const destination = join(builds.context.path, "owners.tar");
    const text =
      "FROM base AS made\nRUN mkdir /d && echo 1 > /d/one\nFROM scratch\nCOPY same /\nCOPY --from=made /d /d\nWORKDIR /w";
    const ownersIn = async (args: Record<string, string>) => {
      await builds.build(text, { args, outputs: [{ type: "tar", destination }], tags: [], cache: false });
      const listed = Bun.spawnSync(["tar", "--numeric-owner", "-tvf", destination]).stdout.toString();
      return new Set(listed.matchAll(/ (\d+\/\d+) /g).map((match) => match[1]));
    };
    expect(await ownersIn({})).toEqual(new Set(["0/0"]));
    expect(await ownersIn({ SOURCE_DATE_EPOCH: "1000000000" })).toEqual(new Set(["0/0"]));
    await builds.build("FROM scratch\nCOPY --chown=7:7 same /", { cache: false });
    const warnings = builds.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    expect(warnings).toEqual(hasOneId ? [expect.stringContaining("(line 2)")] : []);
  });

  it("of several names has all of them", async () => {
    await builds.build("FROM base\nRUN true", { tags: ["one:1", "two"] });
    using images = builds.images();
    expect([await images.exists("one:1"), await images.exists("two:latest")]).toEqual([true, true]);
  });

  it("with squash has one layer over its base, which hides what was removed", async () => {
    const text =
      "FROM base\nRUN mkdir /d && echo 1 > /d/one && echo x > /gone\nRUN echo 2 > /d/two && rm /gone /etc/group";
    await builds.build(text, { squash: true });
    using images = builds.images();
    expect((await images.inspect("made")).RootFS.Layers).toHaveLength(2);
    expect(await builds.run("cat /d/*; ls /gone /etc/group 2>&1 | wc -l")).toBe("1\n2\n2\n");
  });
});

describe("RUN", () => {
  it("has a cache directory that lasts, and is in no layer", async () => {
    const text = (id: string) =>
      `FROM base\nRUN --mount=type=cache,id=c${id},target=/cache echo ${"$RANDOM"} >> /cache/log; wc -l < /cache/log > /count`;
    await builds.build(text("1"), { cache: false });
    await builds.build(text("1"), { cache: false });
    expect(await builds.run("cat /count; ls -A /cache 2>&1 | tail -1")).toMatch(/^2\n.*No such file/);
    await builds.build(text("2"), { cache: false });
    expect(await builds.run("cat /count")).toBe("1\n");
  });

  it("sees files of a context, a stage and an image without copying them", async () => {
    builds.context.write("mounted/a", "of the context");
    await builds.build(`FROM base AS other
RUN mkdir -p /d/e && echo of the stage > /d/e/f
FROM base
RUN --mount=type=bind,source=mounted,target=/m --mount=type=bind,from=other,source=/d,target=/s --mount=from=base,target=/i cat /m/a /s/e/f > /seen; ls /i/bin/sh >> /seen; ! touch /m/x && ! touch /s/x`);
    expect(await builds.run("cat /seen; ls -d /m /s /i 2>&1 | wc -l")).toBe(
      "of the contextof the stage\n/i/bin/sh\n3\n",
    );
  });

  it("of an image without files has what is mounted, and nothing else", async () => {
    const command = "/i/bin/busybox mkdir -p /d && echo made > /d/file; echo /*";
    await builds.build(
      `FROM scratch\nRUN --mount=from=base,target=/i ["/i/bin/busybox", "sh", "-c", ${JSON.stringify(command)}]\nFROM base\nCOPY --from=0 / /made`,
      { target: "1" },
    );
    expect(builds.output).toBe("/d /dev /etc /i /proc /sys\n");
    expect(await builds.run("cd /made; find . | sort; cat d/file")).toBe(".\n./d\n./d/file\nmade\n");
    const { message } = await failedBuild(builds.build("FROM scratch\nRUN true"));
    expect(message).toBe('Dockerfile:2:1: RUN true: execute "/bin/sh": ENOENT');
    expect(builds.leftovers).toEqual([]);
  });

  it("copies and mounts what has no files", async () => {
    const text = `FROM scratch AS empty
FROM base
COPY --from=empty / /all/
COPY --from=scratch / /all/
RUN --mount=from=scratch,target=/m ls -A /m /all > /seen; stat -c '%a %u' /m /all >> /seen`;
    await builds.build(text);
    expect(await builds.run("cat /seen")).toBe("/all:\n\n/m:\n755 0\n755 0\n");
    expect((await builds.build(text)).performed).toBe(0);
    const { message } = await failedBuild(builds.build("FROM scratch AS empty\nFROM base\nCOPY --from=empty /a /"));
    expect(message).toContain('copy "/a": not in the image');
    expect(builds.leftovers).toEqual([]);
  });

  it("may write to files that are mounted so, which harms nobody", async () => {
    builds.context.write("mounted/a", "of the context");
    await builds.build(
      "FROM base\nRUN --mount=type=bind,source=mounted,target=/m,rw echo changed > /m/a; cat /m/a > /seen",
    );
    expect(await builds.run("cat /seen")).toBe("changed\n");
    expect(readFileSync(join(builds.context.path, "mounted/a"), "utf8")).toBe("of the context");
  });

  it("is done again where files change that it sees, and only then", async () => {
    builds.context.write("mounted/a", "1");
    const text = "FROM base\nRUN --mount=type=bind,source=mounted,target=/m cat /m/a";
    await builds.build(text);
    expect((await builds.build(text)).cached).toBe(1);
    builds.context.write("mounted/a", "2");
    expect((await builds.build(text)).performed).toBe(1);
    expect(builds.output).toBe("2");
  });

  it("executes a here-document, by whatever its first line says", async () => {
    await builds.build(`FROM base
RUN <<EOF
echo one > /a
echo two >> /a
EOF
RUN <<EOF
#!/bin/cat
three
EOF`);
    expect(builds.output).toContain("#!/bin/cat\nthree\n");
    expect(await builds.run("cat /a")).toBe("one\ntwo\n");
  });

  it("has a loopback interface and nothing else with --network=none; hosts that were added have names", async () => {
    await builds.build("FROM base\nRUN --network=none ifconfig | grep -c Link; cat /etc/hosts", {
      addHosts: ["db:10.1.2.3"],
    });
    expect(builds.output).toMatch(/^1\n[^]*10\.1\.2\.3\tdb/);
    expect(await builds.run("grep -c db /etc/hosts || true")).not.toBe("1\n");
  });

  it("has the host's network only where that was allowed", async () => {
    const text = "FROM base\nRUN --network=host true";
    const { message, code, hint } = await failedBuild(builds.build(text));
    expect([code, message]).toEqual(["permission_denied", "Dockerfile:2:1: RUN --network=host true is not allowed"]);
    expect(hint).toContain("--allow network.host");
    await builds.build(text, { allow: ["network.host"] });
  });

  it("asks the caller's SSH agent, for signatures and nothing else", async () => {
    const asked: number[] = [];
    const path = join(builds.context.path, "agent.sock");
    const server = createServer((client) => {
      client.on("data", (bytes: Buffer) => {
        asked.push(bytes[4] as number);
        client.write(Uint8Array.of(0, 0, 0, 5, 12, 0, 0, 0, 0));
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      using workspace = new Workspace(builds.root, imageIds());
      const options = { ssh: { default: path } };
      const { mount, release } = await agentMount(
        { options, workspace, ids: undefined },
        { type: "ssh" },
        "/agent",
        never,
      );
      const client = connect((mount as { source: string }).source);
      const answers: Buffer[] = [];
      client.on("data", (bytes: Buffer) => answers.push(bytes));
      // 19: remove all keys; 11: which ones are there
      client.write(Uint8Array.of(0, 0, 0, 1, 19));
      await eventually(() => answers.length === 1, 5000);
      client.write(Uint8Array.of(0, 0, 0, 1, 11));
      await eventually(() => answers.length === 2, 5000);
      client.end();
      await release?.();
      expect(answers.map((each) => [...each])).toEqual([
        [0, 0, 0, 1, 5],
        [0, 0, 0, 5, 12, 0, 0, 0, 0],
      ]);
      expect(asked).toEqual([11]);
      await builds.build("FROM base\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK", options);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  itWithKeys("has the keys of files, where no agent is given, and signs with them", async () => {
    const folder = builds.context;
    const key = (name: string, ...words: string[]) => {
      const path = join(folder.path, name);
      const { exitCode, stderr } = Bun.spawnSync(["ssh-keygen", "-q", "-N", "", "-C", name, "-f", path, ...words]);
      if (exitCode !== 0) throw new Error(stderr.toString());
      return path;
    };
    const paths = [
      key("ed25519", "-t", "ed25519"),
      key("rsa", "-t", "rsa", "-b", "2048"),
      key("rsa-pem", "-t", "rsa", "-b", "2048", "-m", "PEM"),
      ...["256", "384", "521"].map((bits) => key(`ecdsa${bits}`, "-t", "ecdsa", "-b", bits)),
      key("ecdsa-pkcs8", "-t", "ecdsa", "-m", "PKCS8"),
    ];
    using workspace = new Workspace(builds.root, imageIds());
    const socket = await agentSocket({ options: { ssh: { default: paths } }, workspace }, "default");
    // OpenSSH asks it, and says whether it was right: in processes that this one does not wait for
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    const ssh = async (words: string[], stdin = "") => {
      const child = Bun.spawn(words, { env, stdin: new Blob([stdin]), stdout: "pipe", stderr: "pipe" });
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      return { stdout, told: `${await child.exited} ${stderr}` };
    };
    const listed = (await ssh(["ssh-add", "-L"])).stdout.trim().split("\n");
    expect(listed.map((line) => line.split(" ").slice(0, 2))).toEqual(
      paths.map((path) => readFileSync(`${path}.pub`, "utf8").split(" ").slice(0, 2)),
    );
    for (const path of paths) {
      rmSync(path);
      const signed = await ssh(["ssh-keygen", "-Y", "sign", "-n", "test", "-f", `${path}.pub`], "what is signed");
      const signature = folder.write("signature", signed.stdout);
      const check = ["ssh-keygen", "-Y", "check-novalidate", "-n", "test", "-s", signature];
      expect([path, (await ssh(check, "what is signed")).told]).toEqual([path, "0 "]);
      expect((await ssh(check, "something else")).told).toStartWith("255");
    }
    // no other request, and no other key
    const { told } = await ssh(["ssh-add", "-D"]);
    expect(told).toStartWith("1 ");
    const other = key("other", "-t", "ed25519");
    rmSync(other);
    expect((await ssh(["ssh-keygen", "-Y", "sign", "-n", "test", "-f", `${other}.pub`], "x")).told).toStartWith("255");
    const own = key("own", "-t", "ed25519");
    await builds.build("FROM base\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK", { ssh: { default: own } });
  });

  itWithKeys("has no key that is none, or has a passphrase", async () => {
    const folder = builds.context;
    const encrypted = join(folder.path, "encrypted");
    const made = Bun.spawnSync(["ssh-keygen", "-q", "-N", "phrase", "-t", "ed25519", "-f", encrypted]);
    expect(made.exitCode).toBe(0);
    const pem = folder.write(
      "pem",
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    const cut = (path: string) => folder.write("cut", readFileSync(path, "utf8").slice(0, 120));
    const cases: [path: string, why: string][] = [
      [encrypted, "it has a passphrase"],
      [pem, "it has a passphrase"],
      [`${encrypted}.pub`, "it is no private key"],
      [cut(encrypted), "it is malformed"],
      [folder.write("empty", ""), "it is no private key"],
      [folder.path, "it is neither the socket of an agent nor a private key"],
      [join(folder.path, "missing"), "it is neither the socket of an agent nor a private key"],
    ];
    for (const [path, why] of cases) {
      const options = { ssh: { default: path } };
      const { message } = await failedBuild(builds.build("FROM base\nRUN --mount=type=ssh true", options));
      expect([path, message]).toEqual([path, expect.stringContaining(why)]);
    }
  });

  it("has the limits that are asked for, which change no key", async () => {
    const text = "FROM base\nRUN ulimit -n; df -k /dev/shm | tail -1; grep NoNewPrivs /proc/self/status";
    const run = { ulimits: { nofile: 77 }, shmSize: "1m", security: { noNewPrivileges: true } };
    await builds.build(text, { run, cache: false });
    const [files, shm, privileges] = builds.output.trim().split("\n");
    expect([files, shm?.split(/ +/)[1], privileges]).toEqual(["77", "1024", "NoNewPrivs:\t1"]);
    expect((await builds.build(text)).cached).toBe(1);
    await builds.build(text, { cache: false });
    expect(builds.output).not.toContain("77\n");
    expect(builds.output).toContain("NoNewPrivs:\t0");
  });

  testUnless(noLimits, "is killed where it needs more memory than is allowed", async () => {
    const run = { limits: { memory: "32m" } };
    const text = "FROM base\nRUN head -c 90000000 /dev/zero | tail -c 90000000 >/dev/null";
    const { code, message } = await failedBuild(builds.build(text, { run }));
    expect([code, message]).toEqual(["build_failed", expect.stringMatching(/oom|exit code 137|SIGKILL/)]);
  });

  it("has no limits that make no sense, also where it is cached", async () => {
    for (const [run, told] of [
      [{ limits: { memory: "3 parsecs" } }, "3 parsecs"],
      [{ limits: { time: "1s" } }, '"time" of run.limits: unknown'],
      [{ ulimits: { files: 1 } }, '"files"'],
      [{ shmSize: "x" }, '"x"'],
      [{ privileged: true }, "privileged"],
      [{ security: { capabilities: [] } }, '"capabilities" of run.security: unknown'],
    ] as const) {
      const { code, message } = await failedBuild(builds.build("FROM base", { run: run as BuildOptions["run"] }));
      expect([code, message]).toEqual(["invalid_option", expect.stringContaining(told)]);
    }
  });

  it("needs what is required", async () => {
    const { message } = await failedBuild(builds.build("FROM base\nRUN --mount=type=secret,id=token,required true"));
    expect(message).toBe(
      'Dockerfile:2:1: RUN --mount=type=secret,id=token,required true: the secret "token" is not given',
    );
  });
});

describe("files", () => {
  it("that .dockerignore leaves out are not there, and change nothing", async () => {
    builds.context.write("ignored/.dockerignore", "*.log\nsecret\n!keep.log\n");
    for (const name of ["a", "b.log", "keep.log", "secret/key"]) builds.context.write(`ignored/${name}`, name);
    const context = join(builds.context.path, "ignored");
    const text = "FROM base\nCOPY . /all";
    await builds.build(text, { context });
    expect(await builds.run("cd /all && find . -type f | sort")).toBe("./.dockerignore\n./a\n./keep.log\n");
    builds.context.write("ignored/b.log", "changed");
    expect((await builds.build(text, { context })).cached).toBe(1);
  });

  it("of an archive are a context, and the Dockerfile among them is taken", async () => {
    builds.context.write("archived/Dockerfile", "FROM base\nCOPY file /");
    builds.context.write("archived/file", "of the archive");
    const directory = join(builds.context.path, "archived");
    const tar = Bun.spawnSync(["tar", "-czf", "-", "-C", directory, "."]).stdout;
    const { cached, performed } = await buildContext({ context: tar });
    expect([cached, performed]).toEqual([0, 1]);
    expect(await builds.run("cat /file")).toBe("of the archive");
    const stream = new Response(tar).body as ReadableStream<Uint8Array>;
    expect((await buildContext({ context: stream })).cached).toBe(1);
  });

  it("of other contexts, by their names, and images in the place of others", async () => {
    builds.context.write("other/file", "of the other");
    const contexts = { other: join(builds.context.path, "other"), elsewhere: "docker-image://base" };
    await builds.build("FROM elsewhere\nCOPY --from=other file /", { contexts });
    expect(await builds.run("cat /file")).toBe("of the other");
    await builds.build("FROM other\nCOPY --from=base /bin /bin", { contexts });
    expect(await builds.run("cat /file")).toBe("of the other");
  });

  it("of a URL are fetched; with a checksum only once", async () => {
    let asked = 0;
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => (asked++, new Response("of the server")) });
    try {
      const url = `http://127.0.0.1:${server.port}/page`;
      const sum = `sha256:${new Bun.CryptoHasher("sha256").update("of the server").digest("hex")}`;
      const text = `FROM base\nADD --checksum=${sum} ${url} /`;
      const options = { allow: ["network.host" as const] };
      await builds.build(text, options);
      expect(await builds.run("cat /page")).toBe("of the server");
      expect((await builds.build(text, options)).cached).toBe(1);
      expect(asked).toBe(1);
      // without, it is asked for what is there now
      for (const cached of [0, 1]) expect((await builds.build(`FROM base\nADD ${url} /`, options)).cached).toBe(cached);
      expect(asked).toBe(3);
      const wrong = await failedBuild(builds.build(text.replace(sum, `sha256:${"0".repeat(64)}`), options));
      expect([wrong.code, wrong.message.slice(0, 15)]).toEqual(["digest_mismatch", "Dockerfile:2:1:"]);
    } finally {
      await server.stop(true);
    }
  });

  it("of a URL do not come again as long as the server says that they are the same", async () => {
    let [etag, content] = ['"1"', "first"];
    const answers: number[] = [];
    const headers = () => ({ etag, "last-modified": "Sun, 09 Sep 2001 01:46:40 GMT" });
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const isSame = request.headers.get("if-none-match") === etag;
        answers.push(isSame ? 304 : 200);
        return isSame ? new Response(null, { status: 304 }) : new Response(content, { headers: headers() });
      },
    });
    const options = { allow: ["network.host" as const] };
    const add = (more = "") => builds.build(`FROM base\n${more}ADD http://127.0.0.1:${server.port}/kept /`, options);
    const kept = () => {
      const [place] = readdirSync(join(builds.root, "build/downloads")) as [string];
      return join(builds.root, "build/downloads", place, "files/kept");
    };
    try {
      await add();
      expect((await add()).cached).toBe(1);
      // over something else, of what is kept
      await add("ENV A=1\nWORKDIR /x\n");
      expect(await builds.run("cat /kept")).toBe("first");
      expect(answers).toEqual([200, 304, 304]);
      // a server that says that it is the same does not make it what it should be
      const summed = `FROM base\nADD --checksum=sha256:${"0".repeat(64)} http://127.0.0.1:${server.port}/kept /`;
      expect((await failedBuild(builds.build(summed, options))).code).toBe("digest_mismatch");
      answers.pop();
      [etag, content] = ['"2"', "second"];
      expect((await add()).cached).toBe(0);
      expect(await builds.run("cat /kept")).toBe("second");
      // a disk that has lost some of it
      writeFileSync(kept(), "sec");
      expect((await add()).cached).toBe(1);
      expect(answers.slice(3)).toEqual([200, 200]);
      expect(readFileSync(kept(), "utf8")).toBe("second");
      // two at once do not wait for each other
      await Promise.all([add("WORKDIR /y\n"), add("WORKDIR /z\n")]);
      await pruneBuildCache(builds.root, { all: true });
      expect(readdirSync(join(builds.root, "build/downloads"))).toEqual([]);
    } finally {
      await server.stop(true);
    }
  });

  it("of a URL come again where they were changed a moment before, as the server knows no more than the second", async () => {
    let content = "first";
    const modified = new Date().toUTCString();
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) =>
        request.headers.get("if-modified-since") === modified
          ? new Response(null, { status: 304 })
          : new Response(content, { headers: { "last-modified": modified } }),
    });
    const text = `FROM base\nADD http://127.0.0.1:${server.port}/young /`;
    try {
      for (content of ["first", "other"]) {
        await builds.build(text, { allow: ["network.host"] });
        expect(await builds.run("cat /young")).toBe(content);
      }
    } finally {
      await server.stop(true);
    }
  });

  it("that are archives are unpacked by ADD, and not by COPY", async () => {
    builds.context.write("packed/inside", "unpacked");
    const tar = join(builds.context.path, "packed.tar.gz");
    Bun.spawnSync(["tar", "-czf", tar, "-C", join(builds.context.path, "packed"), "."]);
    await builds.build("FROM base\nADD packed.tar.gz /added/\nCOPY packed.tar.gz /copied/");
    expect(await builds.run("cat /added/inside; ls /copied")).toBe("unpackedpacked.tar.gz\n");
  });
});

describe("the cache", () => {
  it("has what was done before, also with other labels and times", async () => {
    builds.context.write("copied", "1");
    const text = "FROM base\nLABEL a=1\nCOPY copied /\nRUN echo cached > /x";
    const first = await builds.build(text);
    expect(await builds.build(text)).toEqual({ ...first, cached: 2, performed: 0 });
    utimesSync(join(builds.context.path, "copied"), 1, 1);
    expect((await builds.build(text.replace("a=1", "a=2"))).performed).toBe(0);
    builds.context.write("copied", "2");
    expect((await builds.build(text)).performed).toBe(2);
    builds.context.write("copied", "1");
    expect((await builds.build(text)).performed).toBe(0);
  });

  it("of a stage does not count where that was said, nor anything of it with cache: false", async () => {
    const text = "FROM base AS a\nRUN echo a > /a\nFROM base AS b\nRUN echo b > /b\nFROM a\nCOPY --from=b /b /";
    await builds.build(text);
    expect((await builds.build(text)).performed).toBe(0);
    await builds.build(text, { noCacheFilter: ["b"] });
    expect(builds.ended(false)).toEqual(["[b 2/2] RUN echo b > /b"]);
    expect((await builds.build(text, { cache: false })).cached).toBe(0);
  });

  it("is shared by builds at the same time: what both need is done once", async () => {
    const text = "FROM base\nRUN sleep 0.5; echo once > /shared";
    const results = await Promise.all([builds.build(text, { tags: ["m1"] }), builds.build(text, { tags: ["m2"] })]);
    expect(results.map(({ performed }) => performed).toSorted()).toEqual([0, 1]);
    expect(results[0].id).toBe(results[1].id as string);
  });

  it("tells a plan what is there, and nothing is done for it", async () => {
    const text = "FROM base\nRUN echo planned > /x\nRUN echo not yet > /y";
    await builds.build(text.split("\n").slice(0, 2).join("\n"));
    const plan = await planBuild(builds.root, { dockerfile: text });
    expect(plan.map(({ title, cached, line }) => [title, cached, line])).toEqual([
      ["[1/3] FROM base", true, 1],
      ["[2/3] RUN echo planned > /x", true, 2],
      ["[3/3] RUN echo not yet > /y", false, 3],
    ]);
    expect(builds.leftovers).toEqual([]);
  });

  it("takes what killed builds have left with it when it is pruned, and frees what that was", async () => {
    await builds.build("FROM base\nRUN true", { tags: [] });
    using running = new Workspace(builds.root, undefined);
    const kept = running.make("layer");
    const left = `${builds.root}/build/work-${crypto.randomUUID()}`;
    mkdirSync(`${left}/0-layer/upper`, { recursive: true });
    writeFileSync(`${left}/0-layer/upper/x`, new Uint8Array(1 << 16));
    expect((await pruneBuildCache(builds.root, { olderThan: "720h" })).freedBytes).toBeGreaterThanOrEqual(1 << 16);
    expect([left, kept].map(existsSync)).toEqual([false, true]);
  });

  it("is counted with all that it takes, and apart from what images have", async () => {
    const usageOf = async () => {
      const { bytes } = (await buildCacheUsage(builds.root)).find(({ text }) => text === "RUN echo counted > /x") ?? {};
      using images = builds.images();
      await images.prune();
      return { cache: bytes, images: (await images.diskUsage()).sizeBytes };
    };
    const before = await usageOf();
    await builds.build("FROM base\nRUN echo counted > /x", { tags: ["counted"] });
    const built = await usageOf();
    {
      using images = builds.images();
      await images.remove("counted");
    }
    // of 8 bytes in a layer, and its tar
    expect((await usageOf()).cache).toBeGreaterThan(2048);
    expect((await usageOf()).images).toBe(before.images);
    expect(built.images - before.images).toBeGreaterThan(2048);
  });

  itWithOthers("survives a prune of images, and is pruned by size and age itself", async () => {
    const text = "FROM base\nRUN echo pruned > /x";
    const { id } = await builds.build(text, { tags: ["pruned"] });
    using images = builds.images();
    await images.remove("pruned");
    await images.prune();
    expect((await builds.build(text, { tags: [] })).cached).toBe(1);
    await images.remove(id as string).catch(() => images.prune());
    await images.prune();
    expect((await pruneBuildCache(builds.root, { olderThan: 60_000 })).removed).toEqual([]);
    expect((await pruneBuildCache(builds.root, { olderThan: "720h" })).removed).toEqual([]);
    expect((await pruneBuildCache(builds.root, { keep: "1gb" })).removed).toEqual([]);
    const layers = () => readdirSync(`${builds.root}/layers`).length;
    const there = layers();
    await builds.build("FROM base\nRUN --mount=type=cache,target=/c mkdir /c/d && chown 7:7 /c/d && echo x > /c/d/x", {
      tags: [],
    });
    const { removed, freedBytes } = await pruneBuildCache(builds.root);
    expect(readdirSync(`${builds.root}/build/mounts`).length).toBeGreaterThan(0);
    await pruneBuildCache(builds.root, { all: true });
    expect(
      ["mounts", "hashes", "locks"].flatMap((name) => [...new Bun.Glob(`${name}/*`).scanSync(`${builds.root}/build`)]),
    ).toEqual([]);
    expect(removed.map((each) => each.text)).toContain("RUN echo pruned > /x");
    expect(freedBytes).toBeGreaterThan(0);
    expect(layers()).toBeLessThan(there);
    expect((await builds.build(text)).performed).toBe(1);
    const usage = await buildCacheUsage(builds.root);
    expect(usage.find((each) => each.text === "RUN echo pruned > /x")).toMatchObject({ isInUse: true });
  });
});

testUnless(noBusybox ?? noRegistry, "an image that was pushed is what the same build gives again", async () => {
  await using registry = await startRegistry();
  const tags = [`${registry.host}/pushed:1`];
  const text = "FROM base\nRUN echo pushed > /x";
  const { id } = await builds.build(text, { tags, outputs: [{ type: "image", push: true }] });
  using images = builds.images();
  const digests = (await images.inspect(tags[0] as string)).RepoDigests;
  const again = await builds.build(text, { tags });
  expect(again).toMatchObject({ id, cached: 1 });
  expect((await images.inspect(tags[0] as string)).RepoDigests).toEqual(digests);
  expect(digests[0]).toEndWith(again.digest as string);
});

describe("a cache of others", () => {
  const text = "FROM base AS a\nRUN echo a > /a && rm /etc/group\nFROM base\nCOPY --from=a /a /\nRUN echo b > /b";

  it("in a directory saves the work, and what is made is the same", async () => {
    const path = join(builds.context.path, "cache");
    const local = { type: "local" as const, path };
    const { id } = await builds.build(text, { cacheTo: [local] });
    using other = await TestBuilds.make();
    // the same base: times of files are part of it
    using images = builds.images();
    const archive = join(builds.context.path, "base.tar");
    await Bun.write(archive, new Response(await images.save(["base"])));
    using theirs = other.images();
    await theirs.load(archive);
    const result = await other.build(text, { cacheFrom: [local] });
    expect(result).toMatchObject({ id, cached: 3, performed: 0 });
    expect(await other.run("cat /a /b")).toBe("a\nb\n");
    expect((await other.build(text)).cached).toBe(3);
  });

  testUnless(
    noBusybox ?? noRegistry,
    "in a registry saves the work of all steps, or of those that the image has",
    async () => {
      await using registry = await startRegistry();
      const reference = `${registry.host}/cache:1`;
      await builds.build(text, { cacheTo: [{ type: "registry", reference }] });
      const archive = join(builds.context.path, "base.tar");
      using images = builds.images();
      await Bun.write(archive, new Response(await images.save(["base"])));
      for (const [mode, cached] of [
        ["min", 2],
        ["max", 3],
      ] as const) {
        await builds.build(text, { cacheTo: [{ type: "registry", reference, mode }] });
        using other = await TestBuilds.make();
        using theirs = other.images();
        await theirs.load(archive);
        const result = await other.build(text, { cacheFrom: [{ type: "registry", reference }] });
        expect(result.cached).toBe(cached);
      }
    },
  );

  it("that lies is not used, and leaves nothing", async () => {
    const path = join(builds.context.path, "lying");
    await builds.build(text, { cacheTo: [{ type: "local", path }], cache: false });
    const blobs = join(path, "blobs/sha256");
    const manifest = JSON.parse(readFileSync(join(path, "index.json"), "utf8")).manifests[0].digest.slice(7);
    const { layers } = JSON.parse(readFileSync(join(blobs, manifest), "utf8"));
    const blob = join(blobs, layers.at(-1).digest.slice(7));
    const bytes = readFileSync(blob);
    bytes[bytes.length - 9] = (bytes.at(-9) as number) ^ 1;
    await Bun.write(blob, bytes);
    using other = await TestBuilds.make();
    const archive = join(builds.context.path, "base.tar");
    using images = builds.images();
    await Bun.write(archive, new Response(await images.save(["base"])));
    using theirs = other.images();
    await theirs.load(archive);
    const { code } = await failedBuild(other.build(text, { cacheFrom: [{ type: "local", path }] }));
    expect(code).toBe("digest_mismatch");
    expect(other.leftovers).toEqual([]);
  });

  it("that is not there, or is something else, is told of", async () => {
    const path = join(builds.context.path, "none");
    await builds.build("FROM base\nRUN true", { cacheFrom: [{ type: "local", path }] });
    builds.context.write("none/index.json", "{}");
    await builds.build("FROM base\nRUN true", { cacheFrom: [{ type: "local", path }] });
    expect(builds.events.some((event) => event.type === "warning" && event.message.includes("cache is not used"))).toBe(
      true,
    );
  });
});

describe("stages", () => {
  it("that are the same are built once, also without a cache", async () => {
    const stage = (name: string) => `FROM base AS ${name}\nRUN cat /proc/sys/kernel/random/uuid > /made\n`;
    const text = `${stage("one")}${stage("two")}FROM base\nCOPY --from=one /made /1\nCOPY --from=two /made /2`;
    for (let turn = 0; turn < 2; turn++) {
      await builds.build(text, { cache: false });
      expect(await builds.run("cmp /1 /2 && echo same")).toBe("same\n");
    }
  });

  it("that do not need each other are built at the same time", async () => {
    const run = "RUN echo begin; sleep 1; echo end";
    const copies = "COPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b";
    // another line, as what is the same is done once
    const text = `FROM base AS a\n${run}\nFROM base AS b\n${run}; true\nFROM base\n${copies}`;
    await builds.build(text, { parallel: 2 });
    expect(builds.output).toBe("begin\nbegin\nend\nend\n");
    await builds.build(text, { parallel: 1, cache: false });
    expect(builds.output).toBe("begin\nend\nbegin\nend\n");
  });

  it("one that fails ends the others", async () => {
    const text =
      "FROM base AS a\nRUN sleep 100\nFROM base AS b\nRUN sleep 0.2; exit 3\nFROM base\nCOPY --from=a / /a\nCOPY --from=b / /b";
    const started = performance.now();
    expect((await failedBuild(builds.build(text, { parallel: 2 }))).message).toContain("exit code 3");
    expect(performance.now() - started).toBeLessThan(50_000);
    expect(builds.leftovers).toEqual([]);
  });
});

describe("a build that fails", () => {
  it("tells where, the exit code and the last lines, and names nothing", async () => {
    const text =
      "FROM base\nRUN echo 1 > /before\nRUN for i in $(seq 100); do echo line $i; done; echo oops >&2; exit 7";
    const { message, code, hint } = await failedBuild(builds.build(text, { tags: ["never"] }));
    expect(code).toBe("build_failed");
    expect(message).toStartWith("Dockerfile:3:1: RUN for i in");
    expect(message).toContain(": exit code 7\n");
    expect(message).toContain("\n  line 100");
    expect(message).toContain("oops");
    expect(message.split("\n").length).toBeLessThan(20);
    expect(hint).toContain("--before 3");
    using images = builds.images();
    expect(await images.exists("never")).toBe(false);
    await builds.build(text, { before: 3, tags: ["state"] });
    expect(await builds.run("cat /before", "state")).toBe("1\n");
  });

  it("leaves the name with what it was", async () => {
    const { id } = await builds.build("FROM base\nRUN echo good > /x");
    await failedBuild(builds.build("FROM base\nRUN echo good > /x\nRUN false"));
    using images = builds.images();
    expect<string>((await images.inspect("made")).Id).toBe(id as string);
  });

  test.skipIf(noBusybox !== undefined).each([
    ["a command that is not there", 'FROM base\nRUN ["/no/such"]', 'Dockerfile:2:1: RUN ["/no/such"]: '],
    ["a user who is not there", "FROM base\nUSER nobody-here\nRUN true", "Dockerfile:3:1: RUN true: "],
    ["a file that is not there", "FROM base\nCOPY no-such-file /", "Dockerfile:2:1: COPY no-such-file /: "],
    ["an instruction that is none", "FROM base\nRUNN true", "Dockerfile:2:1: unknown instruction"],
    ["a name that is none", "FROM BAD NAME", "Dockerfile:1"],
    ["an image that nobody has", "FROM localhost:1/none", "Dockerfile:1:1: "],
    [
      "a stage that is nearly there",
      "FROM base AS build\nFROM base\nCOPY --from=localhost:1/buld / /",
      "Dockerfile:3:1: ",
    ],
  ])("of %s, says so", async (_, text, message) => {
    expect((await failedBuild(builds.build(text))).message).toContain(message);
    expect(builds.leftovers).toEqual([]);
  });

  it("of a stage whose name is nearly right, says which", async () => {
    const { hint } = await failedBuild(builds.build("FROM base AS build\nFROM base\nCOPY --from=BIULD / /"));
    // with capitals it is no name of an image, so nobody is asked for it
    expect(hint).toBe("did you mean build?");
    const circle = await failedBuild(builds.build("FROM BUILD AS a\nFROM a AS build"));
    expect(circle.hint).toBe("the stage BUILD comes later: a stage can be used behind it only");
  });

  it("ends when it is told to", async () => {
    const signal = AbortSignal.timeout(500);
    const { code } = await failedBuild(builds.build("FROM base\nRUN sleep 30", { signal }));
    expect([code, builds.events.at(-1)]).toEqual(["aborted", expect.objectContaining({ step: 1, canceled: true })]);
    expect(builds.leftovers).toEqual([]);
  });
});

describe("outputs", () => {
  it("files in a directory, and as an archive; no image is made", async () => {
    const text = "FROM scratch\nCOPY <<EOF /d/file\nhello\nEOF";
    const local = join(builds.context.path, "out");
    const tar = join(builds.context.path, "out.tar");
    const outputs = [
      { type: "local" as const, destination: local },
      { type: "tar" as const, destination: tar },
    ];
    const result = await builds.build(text, { outputs, tags: [] });
    expect(result.id).toBeUndefined();
    expect(readFileSync(join(local, "d/file"), "utf8")).toBe("hello\n");
    expect(Bun.spawnSync(["tar", "-tf", tar]).stdout.toString()).toContain("d/file");
  });

  it("archives of images that are loaded again", async () => {
    for (const type of ["oci", "docker"] as const) {
      const destination = join(builds.context.path, `${type}.tar`);
      const text = `FROM base\nRUN echo ${type} > /kind`;
      const { id, digest } = await builds.build(text, { outputs: [{ type, destination }], tags: [`saved:${type}`] });
      using images = builds.images();
      expect(await images.exists(`saved:${type}`)).toBe(false);
      await images.load(destination);
      expect(digest).toStartWith("sha256:");
      expect((await images.inspect(`saved:${type}`)).Id as string | undefined).toBe(id);
      expect(await builds.run("cat /kind", `saved:${type}`)).toBe(`${type}\n`);
    }
  });
});

it("an output that cannot be written fails the build: what was made before it stays, and an image nobody wanted does not", async () => {
  const path = (name: string) => join(builds.context.path, name);
  const none = path("nowhere/a.tar");
  using images = builds.images();
  const ids = async () => (await images.list()).map(({ id }) => id);
  const before = await ids();
  const archive = { type: "oci" as const, destination: none };
  const text = "FROM base\nRUN echo unwritten > /kind";
  expect(await failureOf(() => builds.build(text, { outputs: [archive], tags: [] }))).toMatchObject({
    message: `write "${none}": ENOENT`,
  });
  expect(await ids()).toEqual(before);
  const first = { type: "tar" as const, destination: path("first.tar") };
  const outputs = [{ type: "image" as const }, first, { type: "tar" as const, destination: none }];
  await failureOf(() => builds.build(text, { outputs, tags: ["written"] }));
  expect([await images.exists("written"), existsSync(first.destination)]).toEqual([true, true]);
  await images.remove("written");
  builds.context.write("plain", "");
  const local = { type: "local" as const, destination: path("plain") };
  expect(await failureOf(() => builds.build(text, { outputs: [local], tags: [] }))).toMatchObject({
    code: "file_refused",
  });
  const cacheTo = [{ type: "local" as const, path: path("plain") }];
  const failure = await failureOf(() => builds.build(text, { cacheTo, tags: ["cached"] }));
  expect([failure.code, await images.exists("cached")]).toEqual(["system", true]);
  await images.remove("cached");
});

it("nothing is left: no process, no directory of work", () => {
  expect(descendants()).toEqual([]);
  expect(builds.leftovers).toEqual([]);
});
