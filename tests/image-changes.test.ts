/** Instructions that change a config, histories, and which images a filter means. @module */
import { describe, expect, test } from "bun:test";
import { applyChanges } from "../lib/images/changes.ts";
import { creationTime, emptyConfig, extendConfig } from "../lib/images/config.ts";
import { historyOf } from "../lib/images/history.ts";
import { planRemoval } from "../lib/images/remove.ts";
import { chooseSaved } from "../lib/images/save.ts";
import { filterImages, momentOf, type ImageFilters, type ImageSummary } from "../lib/images/summary.ts";
import type { ContainerConfig, Digest } from "../lib/image/index.ts";
import type { StoredImage } from "../lib/store/index.ts";
import { failureOf } from "./support/failure.ts";

const digest = (digit: string): Digest => `sha256:${digit.repeat(64)}`;

describe("instructions", () => {
  test.each<[string, string[], ContainerConfig, ContainerConfig?]>([
    ["a command as words", ['CMD ["sh", "-c", "a b"]'], { Cmd: ["sh", "-c", "a b"] }],
    ["a command as a line", ["cmd echo $HOME  'x'"], { Cmd: ["/bin/sh", "-c", "echo $HOME  'x'"] }],
    [
      "a line for another shell",
      ["CMD a"],
      { Shell: ["bash", "-lc"], Cmd: ["bash", "-lc", "a"] },
      { Shell: ["bash", "-lc"] },
    ],
    ["an entry point takes the command away", ['ENTRYPOINT ["a"]'], { Entrypoint: ["a"] }, { Cmd: ["old"] }],
    ["no entry point", ["ENTRYPOINT []"], { Entrypoint: [] }, { Entrypoint: ["old"] }],
    ["variables", ["ENV A=1 B='2 3' C=\"4 5\" D=6\\ 7"], { Env: ["A=1", "B=2 3", "C=4 5", "D=6 7"] }],
    ["an old form of it", ["ENV A b  c"], { Env: ["A=b  c"] }],
    ["a variable in its old place", ["ENV A=3"], { Env: ["A=3", "B=2"] }, { Env: ["A=1", "B=2"] }],
    [
      "variables of variables",
      ["ENV P=/x:$P", "ENV Q=${P}-${N:-none}-${P:+is}"],
      { Env: ["P=/x:/y", "Q=/x:/y-none-is"] },
      { Env: ["P=/y"] },
    ],
    ["but not in single quotes", ["ENV Q='$P' R=\\$P"], { Env: ["P=1", "Q=$P", "R=$P"] }, { Env: ["P=1"] }],
    [
      "ports",
      ["EXPOSE 80 53/udp 8000-8002"],
      { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {} } },
    ],
    [
      "ports with what they would have on a host",
      ["EXPOSE 8080:80 127.0.0.1::81/UDP [::1]:90-91:90-91 1-9:83"],
      { ExposedPorts: { "80/tcp": {}, "81/udp": {}, "90/tcp": {}, "91/tcp": {}, "83/tcp": {} } },
    ],
    ["labels", ['LABEL a=1 "b c"="d e"'], { Labels: { old: "x", a: "1", "b c": "d e" } }, { Labels: { old: "x" } }],
    ["volumes", ["VOLUME /a /b", 'VOLUME ["/c d"]'], { Volumes: { "/a": {}, "/b": {}, "/c d": {} } }],
    ["directories", ["WORKDIR a/../b"], { WorkingDir: "/srv/b" }, { WorkingDir: "/srv" }],
    ["a directory never above the top", ["WORKDIR /../../etc"], { WorkingDir: "/etc" }],
    ["a user and a signal", ["USER app:app", "STOPSIGNAL SIGINT"], { User: "app:app", StopSignal: "SIGINT" }],
    ["no user", ["USER $NONE"], { User: "" }, { User: "app" }],
    ["signals as they are written", ["STOPSIGNAL rtmin+3"], { StopSignal: "rtmin+3" }],
    ["what others do", ["ONBUILD RUN make"], { OnBuild: ["RUN make"] }],
    ["no health check", ["HEALTHCHECK NONE"], { Healthcheck: { Test: ["NONE"] } }, { Healthcheck: { Retries: 1 } }],
    [
      "a health check of words",
      ['HEALTHCHECK --interval=1m30s --timeout=0.5s CMD ["a", "b c"]'],
      { Healthcheck: { Test: ["CMD", "a", "b c"], Interval: 90e9, Timeout: 5e8 } },
    ],
    [
      "a health check of a line",
      ["healthcheck --start-period=2h --start-interval=15ms --retries=5 cmd test -e /a || exit 1"],
      {
        Healthcheck: {
          Test: ["CMD-SHELL", "test -e /a || exit 1"],
          StartPeriod: 7200e9,
          StartInterval: 15e6,
          Retries: 5,
        },
      },
    ],
  ])("%s", (_, changes, expected, before = {}) => {
    const kept = structuredClone(before);
    expect(applyChanges(before, changes)).toEqual(expected);
    expect(before).toEqual(kept);
  });

  test.each([
    "",
    "HEALTHCHECK",
    "HEALTHCHECK true",
    "HEALTHCHECK NONE true",
    "HEALTHCHECK --retries=3 NONE",
    "HEALTHCHECK CMD",
    "HEALTHCHECK CMD []",
    "HEALTHCHECK --often CMD true",
    "HEALTHCHECK --retries=-1 CMD true",
    "HEALTHCHECK --interval=5 CMD true",
    "HEALTHCHECK --interval=1us CMD true",
    "RUN make",
    "CMD",
    "CMD ",
    "ENV",
    "ENV =1",
    "ENV A",
    'ENV A="x',
    "EXPOSE 0",
    "EXPOSE 70000",
    "EXPOSE 9-8",
    "EXPOSE 80/icmp",
    "EXPOSE 80/tcp/tcp",
    "EXPOSE 80:",
    "EXPOSE x:80",
    "EXPOSE localhost:80:80",
    "EXPOSE 80-82:90-91",
    "STOPSIGNAL SIGNOPE",
    "STOPSIGNAL 0",
    "LABEL a",
    "LABEL a=1 b",
    "USER a b",
    'VOLUME [""]',
    "ONBUILD FROM x",
    "ONBUILD ONBUILD RUN x",
    "__proto__ x",
  ])("%j is refused", async (change) => {
    const { code, message } = await failureOf(() => applyChanges({}, [change]));
    expect([code, message]).toEqual(["invalid_option", expect.stringMatching(/^change "/)]);
  });

  test("names of variables, labels and volumes are only names", () => {
    const { Labels, Env } = applyChanges({}, ["LABEL __proto__=1 constructor=2", "ENV __proto__=3"]);
    expect(JSON.stringify([Labels, Env])).toBe('[{"__proto__":"1","constructor":"2"},["__proto__=3"]]');
  });
});

test("a layer more: config, history and date", () => {
  const base = emptyConfig({ os: "linux", architecture: "arm64", variant: "v8" });
  const one = extendConfig(base, {
    diffId: digest("1"),
    config: { Cmd: ["a"] },
    created: creationTime("1700000000"),
    author: "A",
  });
  expect(one).toEqual({
    os: "linux",
    architecture: "arm64",
    variant: "v8",
    created: "2023-11-14T22:13:20.000Z",
    author: "A",
    config: { Cmd: ["a"] },
    rootfs: { type: "layers", diff_ids: [digest("1")] },
    history: [{ created: "2023-11-14T22:13:20.000Z", author: "A" }],
  });
  const two = extendConfig(one, { diffId: undefined, config: {}, created: "now", comment: "c", createdBy: "sh" });
  expect(two.rootfs.diff_ids).toEqual([digest("1")]);
  expect(two.history?.[1]).toEqual({ created: "now", created_by: "sh", comment: "c", empty_layer: true });
  expect(
    historyOf(digest("9"), two, [42], ["x:1"]).map(({ id, sizeBytes, createdBy, names }) => [
      id,
      sizeBytes,
      createdBy,
      names,
    ]),
  ).toEqual([
    [digest("9"), 0, "sh", ["x:1"]],
    [undefined, 42, "", []],
  ]);
});

test("a history of other layers than there are says nothing wrong", () => {
  const rootfs = { type: "layers" as const, diff_ids: [digest("1"), digest("2")] };
  const none = historyOf(digest("9"), { os: "linux", architecture: "amd64", rootfs }, [1, 2], []);
  expect(none.map(({ sizeBytes }) => sizeBytes)).toEqual([2, 1]);
  const history = [{}, {}, {}, { created_by: "x" }];
  const many = historyOf(digest("9"), { os: "linux", architecture: "amd64", rootfs, history }, [1, 2], []);
  expect(many.map(({ sizeBytes }) => sizeBytes)).toEqual([0, 0, 2, 1]);
});

describe("filters", () => {
  const image = (name: string, day: number, more: Partial<ImageSummary> = {}): ImageSummary => ({
    id: digest(String(day)),
    digest: digest(String(day)),
    tags: [name],
    digests: [],
    created: new Date(Date.UTC(2026, 0, day)),
    sizeBytes: 0,
    labels: {},
    platform: { os: "linux", architecture: "amd64" },
    ...more,
  });
  const images = [
    image("debian:12", 1, { labels: { a: "1", b: "" } }),
    image("localhost:5000/team/app:1.2", 2, { labels: { a: "2" } }),
    image("", 3, { tags: [] }),
    image("team/app:latest", 4, { created: undefined }),
  ];
  const find = (name: string) => images.find(({ tags }) => tags.includes(name)) as ImageSummary;
  test.each<[ImageFilters, number[]]>([
    [{}, [0, 1, 2, 3]],
    [{ dangling: true }, [2]],
    [{ dangling: false }, [0, 1, 3]],
    [{ label: ["a"] }, [0, 1]],
    [{ label: ["a=1", "b"] }, [0]],
    [{ label: ["toString"] }, []],
    [{ reference: ["debian"] }, [0]],
    [{ reference: ["deb*:1?"] }, [0]],
    [{ reference: ["*/*"] }, [3]],
    [{ reference: ["localhost:5000/*/app", "team/app"] }, [1, 3]],
    [{ reference: ["docker.io/library/debian"] }, [0]],
    [{ reference: [".*"] }, []],
    [{ before: "localhost:5000/team/app:1.2" }, [0, 3]],
    [{ since: "debian:12" }, [1, 2]],
    [{ until: "2026-01-02T00:00:00Z" }, [0, 3]],
    [{ until: new Date(Date.UTC(2026, 0, 3)), label: ["a"] }, [0, 1]],
  ])("%j", (filters, expected) => {
    expect(filterImages(images, filters, find).map(({ id }) => images.findIndex((image) => image.id === id))).toEqual(
      expected,
    );
  });

  test("times", async () => {
    expect(Date.now() - momentOf("1h30m").getTime()).toBeWithin(5_399_000, 5_460_000);
    expect(momentOf("1700000000").toISOString()).toBe("2023-11-14T22:13:20.000Z");
    expect((await failureOf(() => momentOf("yesterday"))).code).toBe("invalid_option");
    expect((await failureOf(() => filterImages(images, { reference: ["["] }, find))).code).toBe("invalid_option");
  });
});

const hub = (name: string) => `docker.io/library/${name}`;

describe("what goes", () => {
  const [a, b, at] = [hub("a:1"), hub("b:1"), `${hub("a")}@${digest("1")}`];
  test.each<[string[], string, string[], boolean]>([
    [[a], "a:1", [a], true],
    [[a, at], "a:1", [a, at], true],
    [[a, b, at], "a:1", [a, at], false],
    [[a, hub("a:2"), at], "a:1", [a], false],
    [[a, at], `a@${digest("1")}`, [at], false],
    [[at], `a@${digest("1")}`, [at], true],
    [[a, hub("a:2"), at], "111", [a, hub("a:2"), at], true],
    [[at, `${hub("b")}@${digest("1")}`], "111", [at, `${hub("b")}@${digest("1")}`], true],
    [["latest"], "latest", ["latest"], true],
    [["latest", a], "latest", ["latest"], false],
    [[], "111", [], true],
  ])("of an image called %j, asked for by %j", (names, asked, gone, isLast) => {
    expect(planRemoval({ names }, asked)).toMatchObject({ names: gone, isLast });
  });

  test("not an id with names in several repositories, unless forced", async () => {
    const failure = await failureOf(() => planRemoval({ names: [a, b] }, "111"));
    expect([failure.code, failure.hint]).toEqual(["image_in_use", expect.stringContaining(`${a} ${b}`)]);
    expect(planRemoval({ names: [a, b] }, "111", true)).toMatchObject({ names: [a, b], isLast: true });
  });
});

test("what is saved, and under which names", () => {
  const image = (digit: string, names: string[]) => ({ manifestDigest: digest(digit), names }) as StoredImage;
  const one = image("1", [hub("a:1"), hub("a:2"), `${hub("a")}@${digest("1")}`]);
  const two = image("2", [hub("a:3"), hub("b:1"), "latest"]);
  const get = (name: string) => (/^1|a:[12]/.test(name) ? one : two);
  const saved = (...names: string[]) =>
    chooseSaved(names, [one, two], get).map((found) => [found.image.manifestDigest[7], found.names]);
  expect(saved("a:1")).toEqual([["1", [hub("a:1")]]]);
  expect(saved("a")).toEqual([
    ["1", [hub("a:1"), hub("a:2")]],
    ["2", [hub("a:3")]],
  ]);
  expect(saved("111")).toEqual([["1", []]]);
  expect(saved("latest")).toEqual([["2", []]]);
  expect(saved("b:1", "a:1", "a:3")).toEqual([
    ["2", [hub("b:1"), hub("a:3")]],
    ["1", [hub("a:1")]],
  ]);
});
