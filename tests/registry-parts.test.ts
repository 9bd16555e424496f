/** The parts of the registry client that ask nobody: challenges, hosts, places that answers lead to, files of credentials. @module */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseReference } from "../lib/image/index.ts";
import { parseChallenges } from "../lib/registry/challenge.ts";
import { daemonHosts } from "../lib/registry/daemon-config.ts";
import { locationOf } from "../lib/registry/exchange.ts";
import { retryAfterMs } from "../lib/registry/failure.ts";
import { Hosts, isOwnOrLinkLocal } from "../lib/registry/hosts.ts";
import { CredentialFiles, CredentialHelper, parseDomain, Registry } from "../lib/registry/index.ts";
import { failureOf } from "./support/failure.ts";
import { descendants, eventually } from "./support/processes.ts";

const directory = mkdtempSync(join(tmpdir(), "tsbox-parts-"));
afterAll(() => rmSync(directory, { recursive: true }));

describe("challenges", () => {
  const read = (header: string) =>
    parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

  test.each<[string, unknown[]]>([
    ['Basic realm="a registry"', [["basic", { realm: "a registry" }]]],
    [
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"',
      [
        [
          "bearer",
          { realm: "https://auth.example/token", service: "registry.example", scope: "repository:a/b:pull,push" },
        ],
      ],
    ],
    [
      'Negotiate, Basic realm="x"',
      [
        ["negotiate", {}],
        ["basic", { realm: "x" }],
      ],
    ],
    [
      'NTLM TlRMTVNT==, BEARER Realm = "x" , service=y',
      [
        ["ntlm", {}],
        ["bearer", { realm: "x", service: "y" }],
      ],
    ],
    [
      'Basic realm="a", Bearer realm="b"',
      [
        ["basic", { realm: "a" }],
        ["bearer", { realm: "b" }],
      ],
    ],
    ['Bearer realm="a \\"quoted\\" \\\\ one"', [["bearer", { realm: 'a "quoted" \\ one' }]]],
    ['Bearer realm="first",realm="second"', [["bearer", { realm: "first" }]]],
    ['Bearer realm="unfinished', [["bearer", {}]]],
    ["", []],
    [",,,", []],
    ["=", []],
    ["Bearer", [["bearer", {}]]],
  ])("%p", (header, expected) => expect(read(header) as unknown[]).toEqual(expected));

  test("of any length take no time", () => {
    const start = performance.now();
    for (const piece of ["a", "a,", 'a="', "a=", "a=b,", '"', "\\", " ", ", "]) {
      for (const before of ["", "Bearer ", 'Bearer x="']) parseChallenges(before + piece.repeat(100_000));
    }
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe("what Docker's daemon is told", () => {
  let made = 0;
  /** The environment of a user with that file. */
  const userWith = (text: string) => {
    const config = join(directory, `config${made++}`);
    mkdirSync(join(config, "docker"), { recursive: true });
    writeFileSync(join(config, "docker/daemon.json"), text);
    return { HOME: "/nowhere", XDG_CONFIG_HOME: config };
  };

  test("of mirrors and insecure registries is used, and nothing else", () => {
    const file = {
      "registry-mirrors": ["https://m.example/"],
      "insecure-registries": ["10.0.0.0/8", "http://r.example:5000"],
      debug: 1,
    };
    const { mirrors, insecure } = daemonHosts(userWith(JSON.stringify(file)));
    expect({ mirrors, insecure }).toEqual({
      mirrors: ["https://m.example/"],
      insecure: ["10.0.0.0/8", "r.example:5000"],
    });
    expect(daemonHosts(userWith(""))).toEqual({ mirrors: [], insecure: [] });
  });

  test.each(["{", "[]", "3", '{"registry-mirrors": "m.example"}', '{"insecure-registries": [1]}'])(
    "%s is refused",
    async (text) => {
      const error = await failureOf(() => daemonHosts(userWith(text)));
      expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining("docker/daemon.json")]);
    },
  );

  test("a mirror of it is asked first, unless the caller names others", async () => {
    const type = "application/vnd.oci.image.index.v1+json";
    const bytes = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [] });
    const asked: string[] = [];
    const serve = (name: string) =>
      Bun.serve({
        port: 0,
        fetch(request) {
          asked.push(`${name} ${new URL(request.url).pathname}`);
          return new Response(bytes, { headers: { "Content-Type": type } });
        },
      });
    const [told, other] = [serve("file"), serve("option")];
    const before = process.env["XDG_CONFIG_HOME"];
    process.env["XDG_CONFIG_HOME"] = userWith(
      JSON.stringify({ "registry-mirrors": [`http://127.0.0.1:${told.port}`] }),
    ).XDG_CONFIG_HOME;
    try {
      const ask = (options = {}) => new Registry(options).getManifest(parseReference("debian:12"));
      await ask();
      await ask({ mirrors: [`http://127.0.0.1:${other.port}`] });
    } finally {
      if (before === undefined) delete process.env["XDG_CONFIG_HOME"];
      else process.env["XDG_CONFIG_HOME"] = before;
      await Promise.all([told.stop(true), other.stop(true)]);
    }
    expect(asked.filter((line) => line.includes("manifests"))).toEqual([
      "file /v2/library/debian/manifests/12",
      "option /v2/library/debian/manifests/12",
    ]);
  });
});

describe("hosts", () => {
  const names = (options: ConstructorParameters<typeof Hosts>[0], name: string) =>
    new Hosts(options)
      .endpoints(parseReference(name))
      .map(({ scheme, host, path }) => `${scheme ?? "?"} ${host} ${path}`);

  test("Docker's registry answers elsewhere, and a list of mirrors is of it", () => {
    expect(names({}, "debian")).toEqual(["? registry-1.docker.io library/debian"]);
    const mirrors = ["https://mirror.example", "http://10.0.0.1:5000/hub/"];
    expect(names({ mirrors }, "debian")).toEqual([
      "https mirror.example library/debian",
      "http 10.0.0.1:5000 hub/library/debian",
      "? registry-1.docker.io library/debian",
    ]);
    expect(names({ mirrors }, "quay.io/a/b")).toEqual(["? quay.io a/b"]);
  });

  test.each<[string[] | boolean | undefined, string, boolean]>([
    [undefined, "registry.example", false],
    [undefined, "localhost:5000", true],
    [undefined, "127.1.2.3", true],
    [undefined, "[::1]:5000", true],
    [undefined, "localhost.example", false],
    [undefined, "127.0.0.1.example", false],
    [false, "localhost:5000", false],
    [true, "registry.example", true],
    [["registry.example"], "registry.example", true],
    [["registry.example"], "registry.example:5000", true],
    [["registry.example:5000"], "registry.example:5000", true],
    [["registry.example:5000"], "registry.example:5001", false],
    [["registry.example:5000"], "registry.example", false],
    [["registry.example"], "other.registry.example", false],
    [["10.0.0.0/8"], "10.255.0.1:5000", true],
    [["10.0.0.0/8"], "11.0.0.1", false],
    [["10.0.0.0/33"], "10.0.0.0", true],
    [["10.0.0.0/x"], "10.0.0.0", false],
    [["0.0.0.0/0"], "registry.example", false],
    [["0.0.0.0/0"], "[2001:db8::1]", false],
    [["2001:db8::/32"], "[2001:db8:1::1]:5000", true],
    [["2001:db8::/32"], "[2001:db9::1]", false],
  ])("insecure %j: %s is %p", (insecure, host, expected) => {
    expect(new Hosts(insecure === undefined ? {} : { insecure }).isInsecure(host)).toBe(expected);
  });

  test.each([
    "127.0.0.1",
    "localhost:1",
    "[::1]",
    "[::ffff:7f00:1]",
    "169.254.169.254",
    "[fe80::1]",
    "0.0.0.0",
    "[::]",
    "x.localhost",
  ])("%s is this machine or its link", (host) => expect(isOwnOrLinkLocal(new URL(`http://${host}`).host)).toBe(true));
  // other ways of writing the same, as URL reads them
  test.each([
    "http://2130706433/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://LOCALHOST/",
  ])("and so is %s", (url) => expect(isOwnOrLinkLocal(new URL(url).host)).toBe(true));
  test.each(["registry.example", "10.0.0.1", "128.0.0.1", "[2001:db8::1]", "169.253.0.1"])("%s is not", (host) => {
    expect(isOwnOrLinkLocal(host)).toBe(false);
  });
});

test.each([
  ["", "docker.io"],
  ["docker.io", "docker.io"],
  ["https://index.docker.io/v1/", "docker.io"],
  ["registry-1.docker.io", "docker.io"],
  ["registry.example", "registry.example"],
  ["https://registry.example/v2/", "registry.example"],
  ["http://localhost:5000/", "localhost:5000"],
  ["[::1]:5000", "[::1]:5000"],
])("the registry %p is %s", (text, domain) => expect(parseDomain(text)).toBe(domain));

test.each(["word", "a/b", "https://x.io/y", "user@x.io", "x.io\r\nX: y", "../x", "https://"])(
  "%p is no registry",
  async (text) => expect((await failureOf(() => parseDomain(text))).code).toBe("reference_invalid"),
);

describe("where an answer leads", () => {
  const go = (location: string, from: string) => locationOf("do", location, new URL(from)).href;
  test.each([
    ["/x", "https://a/y", "https://a/x"],
    ["https://b:8443/x?y#z", "https://a/", "https://b:8443/x?y"],
    ["https://b/", "http://a/", "https://b/"],
    ["http://b/", "http://a/", "http://b/"],
    ["http://127.0.0.1:2/", "http://127.0.0.1:1/", "http://127.0.0.1:2/"],
    ["https://10.0.0.1/", "https://a/", "https://10.0.0.1/"],
  ])("%s of %s", (location, from, expected) => expect(go(location, from)).toBe(expected));

  test.each([
    ["http://b/", "https://a/"],
    ["//user:x@b/", "https://a/"],
    ["https://169.254.169.254/latest/meta-data", "https://a/"],
    ["https://2852039166/latest/meta-data", "https://a/"],
    ["https://localhost/", "https://a/"],
    ["https://[::1]/", "https://a/"],
    ["javascript:x", "https://a/"],
    ["http://", "http://a/"],
  ])("%s of %s is refused", (location, from) => expect(() => go(location, from)).toThrow(from.slice(-2, -1)));
});

test.each([
  ["1", 1000],
  ["Thu, 01 Jan 1970 00:00:10 GMT", 10_000],
  ["Thu, 01 Jan 1960 00:00:00 GMT", 0],
  ["999999999", 86_400_000],
  ["-1", 0],
  ["soon", undefined],
])("Retry-After: %s", (text, expected) => {
  const found = retryAfterMs(new Headers({ "retry-after": text }), 0);
  if (expected === undefined || expected > 0) expect(found).toBe(expected as number);
  else expect(found ?? 0).toBeLessThanOrEqual(86_400_000);
});

let count = 0;
/** A file of credentials, of Docker's kind. */
function filesWith(config: unknown, environment: Record<string, string> = {}): CredentialFiles {
  const own = join(directory, `config-${count++}`);
  mkdirSync(own);
  writeFileSync(join(own, "config.json"), typeof config === "string" ? config : JSON.stringify(config));
  return new CredentialFiles({ HOME: own, DOCKER_CONFIG: own, ...environment });
}
const entry = (username: string, password = "p") => ({ auth: btoa(`${username}:${password}`) });

describe("credentials in files", () => {
  test.each<[string, string, string, string | undefined]>([
    ["registry.example", "registry.example", "a/b", "u"],
    ["registry.example:5000", "registry.example:5000", "a/b", "u"],
    ["registry.example", "registry.example:5000", "a/b", undefined],
    ["https://registry.example", "registry.example", "a/b", "u"],
    ["https://registry.example/v1/", "registry.example", "a/b", "u"],
    ["http://registry.example/v2/", "registry.example", "a/b", "u"],
    ["registry.example/a", "registry.example", "a/b", "u"],
    ["registry.example/a/b", "registry.example", "a/b", "u"],
    ["registry.example/a", "registry.example", "ab/c", undefined],
    ["registry.example/a/b/c", "registry.example", "a/b", undefined],
    ["https://index.docker.io/v1/", "docker.io", "library/debian", "u"],
    ["docker.io", "docker.io", "library/debian", "u"],
    ["index.docker.io", "docker.io", "library/debian", "u"],
    ["docker.io/library", "docker.io", "library/debian", "u"],
    ["example", "registry.example", "a", undefined],
    ["registry.example.evil", "registry.example", "a", undefined],
  ])("%s is for %s/%s: %p", async (key, domain, path, username) => {
    expect((await filesWith({ auths: { [key]: entry("u") } }).find(domain, path))?.username).toBe(username as string);
  });

  test.skipIf(process.geteuid?.() === 0)("in a directory that is not the user's are none", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tsbox-config-"));
    try {
      writeFileSync(join(directory, "config.json"), JSON.stringify({ auths: { "registry.example": entry("u") } }));
      const files = new CredentialFiles({ DOCKER_CONFIG: directory, HOME: directory });
      expect((await files.find("registry.example", "a"))?.username).toBe("u");
      chmodSync(directory, 0);
      expect(await files.find("registry.example", "a")).toBeUndefined();
    } finally {
      chmodSync(directory, 0o700);
      rmSync(directory, { recursive: true });
    }
  });

  test("the longest name counts", async () => {
    const auths = { "r.io": entry("all"), "r.io/team": entry("team"), "r.io/team/app": entry("app"), "r.io/x": {} };
    const files = filesWith({ auths });
    const found = async (path: string) => (await files.find("r.io", path))?.username;
    expect([await found("team/app"), await found("team/x"), await found("other"), await found("x")]).toEqual([
      "app",
      "team",
      "all",
      "all",
    ]);
  });

  test.each<[object, unknown]>([
    [{ auth: btoa("u:p:with:colons") }, { username: "u", password: "p:with:colons" }],
    [{ auth: btoa("u:p\0\0") }, { username: "u", password: "p" }],
    [
      { username: "u", password: "p" },
      { username: "u", password: "p" },
    ],
    [
      { auth: btoa("u:"), identitytoken: "t" },
      { username: "u", identityToken: "t" },
    ],
    [{ registrytoken: "t" }, { registryToken: "t" }],
    [{ auth: 7 }, undefined],
    [{ auth: "!!" }, undefined],
    [{ auth: btoa("no colon") }, undefined],
    [{}, undefined],
  ])("%j is %j", async (value, expected) => {
    expect(await filesWith({ auths: { "r.io": value } }).find("r.io")).toEqual(expected as undefined);
  });

  test("Docker's file comes first, then those of containers; one that was named is the only one", async () => {
    const runtime = join(directory, "runtime");
    mkdirSync(join(runtime, "containers"), { recursive: true });
    writeFileSync(join(runtime, "containers/auth.json"), JSON.stringify({ auths: { "r.io": entry("theirs") } }));
    const environment = { XDG_RUNTIME_DIR: runtime };
    expect(await filesWith({ auths: { "r.io": entry("own") } }, environment).find("r.io")).toMatchObject({
      username: "own",
    });
    expect(await filesWith({}, environment).find("r.io")).toMatchObject({ username: "theirs" });
    const places = new CredentialFiles({ HOME: "/home/me" }).files();
    expect(places).toEqual([
      "/home/me/.docker/config.json",
      `/run/containers/${process.geteuid?.()}/auth.json`,
      "/home/me/.config/containers/auth.json",
    ]);
    const named = { ...environment, REGISTRY_AUTH_FILE: join(directory, "none.json") };
    expect(await filesWith({ auths: { "r.io": entry("own") } }, named).find("r.io")).toBeUndefined();
  });

  test.each(["{", "[]", "7", '"x"', '{"auths":7}', '{"credHelpers":[]}'])(
    "a file that holds %p is an error",
    async (content) => {
      const error = await failureOf(() => filesWith(content).find("r.io"));
      expect(error).toMatchObject({ code: "invalid_option" });
      expect(error.message).toContain("config.json");
      expect(await filesWith("").find("r.io")).toBeUndefined();
    },
  );

  test("what is stored leaves all else in the file, its link and its neighbours alone, and is for its owner", async () => {
    const files = filesWith({
      auths: { "other.io": entry("o"), "https://r.io/v1/": entry("old") },
      detachKeys: "ctrl-x",
    });
    const link = join(directory, "link.json");
    symlinkSync(files.file, link);
    const linked = new CredentialFiles({ REGISTRY_AUTH_FILE: link });
    expect(await linked.store("r.io", { username: "u", password: "p" })).toEqual({ file: link });
    const read = () => JSON.parse(readFileSync(files.file, "utf8"));
    expect(read()).toEqual({ auths: { "other.io": entry("o"), "r.io": entry("u") }, detachKeys: "ctrl-x" });
    expect(statSync(files.file).mode & 0o777).toBe(0o600);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    await files.store("docker.io", { username: "hub", identityToken: "t" });
    expect(read().auths["https://index.docker.io/v1/"]).toEqual({ auth: btoa("hub:"), identitytoken: "t" });
    expect(await files.erase("r.io")).toBe(true);
    expect(await files.erase("r.io")).toBe(false);
    expect(Object.keys(read().auths)).toEqual(["other.io", "https://index.docker.io/v1/"]);
  });

  test("what several processes store at once is all there, and what they erase is gone", async () => {
    const home = join(directory, "many");
    const program = `
      import { CredentialFiles } from ${JSON.stringify(join(import.meta.dirname, "../lib/registry/index.ts"))};
      const [first] = process.argv.slice(-1);
      for (let at = 0; at < 10; at++) {
        await new CredentialFiles().store(\`r\${first}-\${at}.io\`, { username: "u", password: "p" });
        if (at % 2) await new CredentialFiles().erase(\`r\${first}-\${at}.io\`);
      }`;
    const children = [0, 1, 2, 3].map((first) =>
      Bun.spawn([process.execPath, "-e", program, String(first)], {
        stdin: "ignore",
        env: { PATH: process.env["PATH"], HOME: home },
      }),
    );
    expect(await Promise.all(children.map(({ exited }) => exited))).toEqual([0, 0, 0, 0]);
    const { auths } = JSON.parse(readFileSync(join(home, ".docker/config.json"), "utf8")) as { auths: object };
    expect(Object.keys(auths).length).toBe(20);
  });

  test("the directory of the first file is made, for its owner alone", async () => {
    const own = join(directory, "new/below/.docker");
    await new CredentialFiles({ DOCKER_CONFIG: own }).store("r.io", { username: "u", password: "p" });
    expect(statSync(own).mode & 0o777).toBe(0o700);
  });
});

/** A program of this name on the path, for as long as the work takes. */
async function withHelper<T>(script: string, work: (name: string) => Promise<T>): Promise<T> {
  const name = `test${count++}`;
  const programs = join(directory, "programs");
  mkdirSync(programs, { recursive: true });
  const program = join(programs, `docker-credential-${name}`);
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  const { PATH } = process.env;
  process.env["PATH"] = `${programs}:${PATH}`;
  try {
    return await work(name);
  } finally {
    process.env["PATH"] = PATH as string;
    expect(await eventually(() => descendants().length === 0)).toBe(true);
  }
}
/** Keeps one file for each server. */
const KEEPER = (where: string) => `
  mkdir -p ${where}
  key() { printf %s "$1" | tr -c 'A-Za-z0-9.\\n' _; }
  case $1 in
    store) read -r line; server=$(printf %s "$line" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); printf %s "$line" >"${where}/$(key "$server")";;
    get) read -r server; cat "${where}/$(key "$server")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
    erase) read -r server; rm "${where}/$(key "$server")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
    list) echo '{"https://index.docker.io/v1/":"u","r.io":"v"}';;
  esac`;

describe("credential helpers", () => {
  test("store, get, erase and list", async () => {
    await withHelper(KEEPER(join(directory, "kept")), async (name) => {
      const helper = new CredentialHelper(name);
      expect(await helper.get("r.io")).toBeUndefined();
      await helper.store("r.io", { username: "u", password: 'p"\\' });
      expect(await helper.get("r.io")).toEqual({ username: "u", password: 'p"\\' });
      await helper.store("r.io", { username: "u", identityToken: "t" });
      expect(await helper.get("r.io")).toEqual({ identityToken: "t" });
      expect(await helper.list()).toEqual({ "https://index.docker.io/v1/": "u", "r.io": "v" });
      expect(await helper.erase("r.io")).toBe(true);
      expect(await helper.erase("r.io")).toBe(false);
    });
  });

  test("keep what would stand in the file otherwise: one for all, or one for a registry", async () => {
    const kept = join(directory, "kept-for-files");
    await withHelper(KEEPER(kept), async (name) => {
      for (const config of [{ credsStore: name }, { credHelpers: { "index.docker.io": name, "r.io": name } }]) {
        const files = filesWith(config);
        for (const domain of ["docker.io", "r.io"]) {
          expect(await files.store(domain, { username: "u", password: "secret" })).toEqual({
            helper: `docker-credential-${name}`,
          });
          expect(readFileSync(files.file, "utf8")).not.toContain(btoa("u:secret"));
          expect(await files.find(domain, "a/b")).toEqual({ username: "u", password: "secret" });
          expect(await files.erase(domain)).toBe(true);
          expect(await files.find(domain)).toBeUndefined();
        }
        expect(JSON.parse(readFileSync(files.file, "utf8"))).toEqual({ ...config, auths: {} });
      }
      const elsewhere = filesWith({ credHelpers: { "other.io": name }, auths: { "r.io": entry("u") } });
      expect(await elsewhere.find("r.io")).toMatchObject({ username: "u" });
    });
  });

  test.each(["../../bin/sh", "a/b", "", "-x", "a b", "a\0b", "x;touch y"])("cannot be called %p", async (name) => {
    expect((await failureOf(() => new CredentialHelper(name))).code).toBe("invalid_option");
    if (name === "") return; // none
    expect((await failureOf(() => filesWith({ credsStore: name }).find("r.io"))).code).toBe("invalid_option");
  });

  test("that are not there are named, with what to do", async () => {
    const error = await failureOf(() => filesWith({ credsStore: "nowhere" }).find("r.io"));
    expect(error.message).toBe("docker-credential-nowhere get: there is no such program");
    expect(error.hint).toContain("install it");
  });

  test.each<[string, string, RegExp]>([
    ["fails", "echo 'locked\u001b[31m' ; exit 3", /locked \[31m$/],
    ["fails without a word", "exit 3", /exit status 3/],
    ["answers no JSON", "echo nonsense", /no JSON/],
    ["answers half of it", `echo '{"Username":"u"}'`, /no name and secret/],
    ["answers without end", "exec yes", /too long an answer/],
    ["does not answer", "exec sleep 100", /no answer/],
    ["does not read", "exec <&-; exit 1", /exit status 1/],
  ])("that %s: an error, and no process stays", async (_, script, why) => {
    await withHelper(script, async (name) => {
      const error = await failureOf(() => new CredentialHelper(name, 500).get("r.io"));
      expect(error.message).toMatch(why);
    });
  });
});
