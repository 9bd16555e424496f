/** systemd as the keeper of control groups: D-Bus, also with one that means harm; units; and a real systemd. @module */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ContainerCgroup } from "../lib/cgroup/index.ts";
import {
  annotatedProperties,
  deviceProperties,
  pathOfSlice,
  resourceProperties,
  roundQuota,
  unitOf,
  withoutWeight,
} from "../lib/cgroup/unit.ts";
import { parseVariant } from "../lib/cgroup/variant.ts";
import type { Resources } from "../lib/spec/index.ts";
import { Bus, BUS } from "../lib/systemd/bus.ts";
import { addressesOf, Manager } from "../lib/systemd/manager.ts";
import { Reader, Writer } from "../lib/systemd/marshal.ts";
import { parseMessage } from "../lib/systemd/message.ts";
import { typesOf, type Value } from "../lib/systemd/signature.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of undo.splice(0).toReversed()) await each();
});

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "tsbox-bus-"));
  undo.push(() => rmSync(folder, { recursive: true }));
  return join(folder, "bus");
}

describe("values", () => {
  test.each<[string, Value[]]>([
    ["ybnqiuxtd", [255, true, -2, 65_535, -3, 4_000_000_000, -(2n ** 63n), 2n ** 64n - 1n, 1.5]],
    ["sog", ["äöü", "/a/b", "a(sv)"]],
    ["ayas", [new Uint8Array([1, 2, 3]), ["a", "", "c"]]],
    ["y(yt)a(sv)", [1, [2, 3n], [["name", { signature: "au", value: [1, 2] }]]]],
    ["a{sv}aat", [[["k", { signature: "v", value: { signature: "b", value: false } }]], [[1n], [], [2n, 3n]]]],
  ])("of %p come back as they went", (signature, values) => {
    const writer = new Writer();
    writer.values(signature, values);
    const reader = new Reader(writer.bytes, true);
    expect(reader.values(signature)).toEqual(values);
    expect(reader.at).toBe(writer.length);
  });

  test("lie where the specification says", () => {
    const writer = new Writer();
    writer.values("ysat", [7, "ab", [1n]]);
    expect(writer.bytes.toHex()).toBe("070000000200000061620000080000000100000000000000");
  });

  test.each(["(", "a", "(s", "()", "{s}", "{sss}", "z", "a".repeat(40) + "s", "s".repeat(300)])(
    "of the signature %p there are none",
    async (signature) => void expect((await failureOf(() => typesOf(signature))).message).toContain("D-Bus"),
  );

  test("that are nested without end are refused", async () => {
    const writer = new Writer();
    let value: Value = { signature: "y", value: 1 };
    for (let depth = 0; depth < 40; depth++) value = { signature: "v", value };
    writer.values("v", [value]);
    expect((await failureOf(() => new Reader(writer.bytes, true).values("v"))).message).toContain("nested");
  });
});

/** A reply, or a signal, as the other side would send it. */
function messageOf({
  type = 2,
  serial = 1,
  fields = [] as Value[],
  signature = "",
  values = [] as Value[],
}): Uint8Array {
  const body = new Writer();
  body.values(signature, values);
  const header = new Writer();
  const own: Value[] = [
    [5, { signature: "u", value: serial }],
    [8, { signature: "g", value: signature }],
  ];
  header.values("yyyyuua(yv)", [108, type, 0, 1, body.length, 77, [...own, ...fields]]);
  header.align(8);
  return Buffer.concat([header.bytes, body.bytes]);
}

type Script = (call: Uint8Array, send: (bytes: Uint8Array | string) => void, serial: number) => void;

/** The other side: lets anybody in, then follows its script. */
function scripted(onCall: Script, onLine?: (line: string, send: (text: string) => void) => void): string {
  const path = socketPath();
  const server = Bun.listen<{ isIn: boolean; serial: number }>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { isIn: false, serial: 0 };
      },
      data(socket, bytes) {
        const send = (reply: Uint8Array | string) => void socket.write(reply);
        if (socket.data.isIn) return onCall(bytes, send, ++socket.data.serial);
        // as systemd does: what comes along with the last line is forgotten
        const [lines = ""] = bytes.toString().split("BEGIN\r\n");
        socket.data.isIn = lines.length < bytes.length;
        for (const line of lines.split("\r\n").filter(Boolean)) {
          if (onLine) onLine(line, send);
          else if (line.includes("AUTH")) send("DATA\r\n");
          else if (line === "DATA") send("OK 0123456789abcdef0123456789abcdef\r\n");
        }
      },
    },
  });
  undo.push(() => server.stop(true));
  return path;
}

const connect = (socket: string, isBus = false) => Manager.connect(false, [{ socket, isBus }], 300);

describe("the other side", () => {
  test("that answers is understood", async () => {
    const socket = scripted((_, send, serial) =>
      send(messageOf({ serial, signature: "v", values: [{ signature: "s", value: "252.38-1" }] })),
    );
    using manager = await connect(socket);
    expect([await manager.version(), await manager.property("Version")]).toEqual([252, "252.38-1"]);
  });

  test("may send its answer byte by byte, and signals before it", async () => {
    const socket = scripted(async (_, send, serial) => {
      const answer = Buffer.concat([
        messageOf({ type: 4, serial: 0 }),
        messageOf({ serial, signature: "v", values: [{ signature: "s", value: "9" }] }),
      ]);
      for (const byte of answer) {
        send(new Uint8Array([byte]));
        await Bun.sleep(0);
      }
    });
    using manager = await connect(socket);
    expect(await manager.version()).toBe(9);
  });

  test("that says no is quoted", async () => {
    const socket = scripted((_, send, serial) =>
      send(
        messageOf({
          type: 3,
          serial,
          fields: [[4, { signature: "s", value: "org.freedesktop.DBus.Error.AccessDenied" }]],
          signature: "s",
          values: ["no, you may not"],
        }),
      ),
    );
    using manager = await connect(socket);
    const error = await failureOf(() => manager.setProperties("x.scope", [["A", { signature: "b", value: true }]]));
    expect([error.code, error.message]).toEqual([
      "limit_unavailable",
      'change the unit "x.scope": call SetUnitProperties: no, you may not',
    ]);
  });

  const fine = messageOf({ signature: "s", values: ["text"] });
  const changed = (at: number, ...bytes: number[]) => {
    const copy = new Uint8Array(fine);
    copy.set(bytes, at);
    return copy;
  };
  const hostile: [what: string, answer: Uint8Array, message: string][] = [
    ["bytes in no order", changed(0, 1), "neither order of bytes"],
    ["another version", changed(3, 2), "another version"],
    ["a body without end", changed(4, 255, 255, 255, 255), "too long"],
    ["fields without end", changed(12, 255, 255, 255, 255), "too long"],
    ["fields that are longer than the message", changed(12, 200, 0, 0, 0), "does not answer"],
    ["a text that is longer than the message", changed(fine.length - 9, 255, 255, 255, 127), "ends too early"],
    ["a text that does not end", changed(fine.length - 1, 1), "does not end where it should"],
    ["a text that is no text", changed(fine.length - 5, 0xff, 0xfe), "no UTF-8"],
    ["a body of no type", messageOf({ fields: [[8, { signature: "g", value: "((((" }]] }), "signature"],
    ["the answer to another question", messageOf({ serial: 9 }), "does not answer"],
    ["nothing", new Uint8Array(0), "does not answer"],
    ["noise", new Uint8Array(4096).fill(108), "it is too long"],
    ["an answer of another type", fine, "its answer is no text"],
  ];
  test.each(hostile)("that sends %s harms nobody", async (_, answer, message) => {
    const socket = scripted((_call, send) => send(answer));
    using manager = await connect(socket);
    expect((await failureOf(() => manager.property("Version"))).message).toContain(message);
  });

  test("that never stops to talk is left", async () => {
    let timer: Timer | undefined;
    undo.push(() => clearInterval(timer));
    const socket = scripted((_, send) => {
      timer = setInterval(() => send(Buffer.concat(Array.from({ length: 50 }, () => messageOf({ type: 4 })))), 1);
    });
    using manager = await connect(socket);
    const started = performance.now();
    expect((await failureOf(() => manager.property("Version"))).message).toContain("does not answer");
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test.each<[string, string, string]>([
    ["lets nobody in", "REJECTED EXTERNAL\r\n", "does not let this user in"],
    ["speaks something else", "220 mail.example.org\r\n", "does not let this user in"],
    ["never ends a line", "x".repeat(60_000), "does not speak D-Bus"],
  ])("that %s is no systemd", async (_, answer, message) => {
    const socket = scripted(
      () => {},
      (_line, send) => send(answer),
    );
    const error = await failureOf(() => connect(socket));
    expect([error.code, error.message]).toEqual(["limit_unavailable", expect.stringContaining(message)]);
  });

  test("that is not there is named", async () => {
    const error = await failureOf(() => Manager.connect(true, []));
    expect([error.code, error.message]).toEqual([
      "limit_unavailable",
      "connect to systemd of the user: no socket of it is here",
    ]);
    expect(error.hint).toContain("XDG_RUNTIME_DIR");
  });

  test("a job is waited for by its own end, whichever comes first", async () => {
    const removed = (path: string, result: string) =>
      messageOf({
        type: 4,
        fields: [
          [3, { signature: "s", value: "JobRemoved" }],
          [2, { signature: "s", value: "org.freedesktop.systemd1.Manager" }],
        ],
        signature: "uoss",
        values: [1, path, "x.scope", result],
      });
    const results: string[] = ["done", "failed"];
    const socket = scripted((call, send, serial) => {
      const { member } = parseMessage(new Uint8Array(call));
      if (member !== "StartTransientUnit") return send(messageOf({ serial }));
      send(Buffer.concat([removed("/job/other", "canceled"), removed("/job/1", results.shift() as string)]));
      send(messageOf({ serial, signature: "o", values: ["/job/1"] }));
    });
    using manager = await connect(socket);
    await manager.startScope("x.scope", []);
    const error = await failureOf(() => manager.startScope("x.scope", []));
    expect(error.message).toBe('start the unit "x.scope": systemd says "failed"');
  });
});

testUnless(
  Bun.which("dbus-daemon") ? undefined : "dbus-daemon is not installed",
  "a real bus understands it",
  async () => {
    const socket = socketPath();
    const config = `${socket}.conf`;
    await Bun.write(
      config,
      `<busconfig><listen>unix:path=${socket}</listen><policy context="default">` +
        `<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
    );
    const daemon = Bun.spawn(["dbus-daemon", `--config-file=${config}`, "--nofork", "--nopidfile"], {
      stderr: "ignore",
    });
    undo.push(async () => {
      daemon.kill();
      await daemon.exited;
    });
    // it is there before somebody listens
    const isListening = () =>
      Bun.connect({ unix: socket, socket: { data() {} } }).then(
        (each) => (each.end(), true),
        () => false,
      );
    for (let turn = 0; turn < 500 && !(await isListening()); turn++) await Bun.sleep(10);
    using bus = await Bus.connect({ socket, isBus: true });
    const names = await bus.call({ ...BUS, member: "ListNames", signature: "", values: [] });
    expect(names).toEqual([expect.arrayContaining(["org.freedesktop.DBus"])]);
    const [owner] = await bus.call({
      ...BUS,
      member: "GetNameOwner",
      signature: "s",
      values: ["org.freedesktop.DBus"],
    });
    expect(owner).toBe("org.freedesktop.DBus");
    const error = await failureOf(() => bus.call({ ...BUS, member: "Nothing", signature: "", values: [] }));
    expect(error.message).toContain("call Nothing");
    const [uid] = await bus.call({
      ...BUS,
      member: "GetConnectionUnixUser",
      signature: "s",
      values: ["org.freedesktop.DBus"],
    });
    expect(uid).toBe(process.geteuid?.());
  },
);

describe("where systemd is", () => {
  test("of the user", () => {
    const runtime = socketPath();
    expect(
      addressesOf(true, {
        XDG_RUNTIME_DIR: runtime,
        DBUS_SESSION_BUS_ADDRESS: "tcp:host=x;unix:guid=1,abstract=/tmp/a%20b",
      }),
    ).toEqual([{ socket: "@/tmp/a b", isBus: true }]);
    expect(addressesOf(true, { DBUS_SESSION_BUS_ADDRESS: "unix:path=/proc/self/exe,guid=5" })).toEqual([
      { socket: "/proc/self/exe", isBus: true },
    ]);
    expect(addressesOf(true, { DBUS_SESSION_BUS_ADDRESS: "autolaunch:" })).toEqual([]);
  });
});

describe("a unit", () => {
  test.each<[string | undefined, boolean, string, string]>([
    [undefined, false, "tsbox-box.scope", "system.slice"],
    ["", true, "tsbox-box.scope", "user.slice"],
    ["machine.slice:libpod:abc", false, "libpod-abc.scope", "machine.slice"],
    ["::abc", true, "abc.scope", "user.slice"],
    ["a-b.slice:p:x+y/ä", false, String.raw`p-x\x2by\x2f\xc3\xa4.scope`, "a-b.slice"],
  ])("of the path %p", (path, rootless, name, slice) => {
    expect(unitOf("box", path, rootless)).toEqual({ name, slice });
  });

  test.each(["/absolute/path", "a:b", "a:b:c:d", "a.slice:p:"])("has no path %p", async (path) => {
    const error = await failureOf(() => unitOf("box", path, false));
    expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining('"slice:prefix:name"')]);
  });

  test("has a name that is not too long", async () => {
    expect((await failureOf(() => unitOf("box", `a.slice:p:${"x".repeat(250)}`, false))).message).toContain("too long");
  });

  test("has slices above it", () => {
    expect(["-.slice", "system.slice", "a-b-c.slice"].map(pathOfSlice)).toEqual([
      "",
      "/system.slice",
      "/a.slice/a-b.slice/a-b-c.slice",
    ]);
  });
  test.each(["", ".slice", "a", "a--b.slice", "-a.slice", "a-.slice", "../x.slice", "a/b.slice", "a\n.slice"])(
    "%p is no slice",
    async (slice) => void expect((await failureOf(() => pathOfSlice(slice))).message).toContain("invalid slice name"),
  );

  const printed = (properties: readonly (readonly [string, { signature: string; value: Value }])[]) =>
    properties.map(
      ([name, { signature, value }]) => `${name}=${signature}:${value instanceof Uint8Array ? value.toHex() : value}`,
    );
  const INFINITY = "18446744073709551615";

  test.each<[Resources, "v1" | "v2", string[]]>([
    [{ memory: { limit: 100, reservation: 50 } }, "v2", ["MemoryMax=t:100", "MemoryLow=t:50"]],
    [{ memory: { limit: 100, swap: 150 } }, "v2", ["MemoryMax=t:100", "MemorySwapMax=t:50"]],
    [{ memory: { limit: -1, swap: -1 } }, "v2", [`MemoryMax=t:${INFINITY}`, `MemorySwapMax=t:${INFINITY}`]],
    [{ memory: { limit: 100, swap: 150 } }, "v1", ["MemoryLimit=t:100"]],
    [{ cpu: { shares: 1024 } }, "v2", ["CPUWeight=t:100"]],
    [{ cpu: { shares: 1024 } }, "v1", ["CPUShares=t:1024"]],
    [{ cpu: { idle: 1, shares: 7 } }, "v2", ["CPUWeight=t:0"]],
    [{ cpu: { quota: 12_345, period: 50_000 } }, "v2", ["CPUQuotaPeriodUSec=t:50000", "CPUQuotaPerSecUSec=t:250000"]],
    [{ cpu: { quota: -1 } }, "v2", [`CPUQuotaPerSecUSec=t:${INFINITY}`]],
    [{ cpu: { cpus: "0-2,9", mems: "0" } }, "v2", ["AllowedCPUs=ay:0702", "AllowedMemoryNodes=ay:01"]],
    [{ pids: { limit: -1 } }, "v2", [`TasksMax=t:${INFINITY}`]],
    [
      {
        unified: { "memory.high": "max", "pids.max": "0", "cpu.max": "5000 50000", "cpu.weight": "42", "io.max": "x" },
      },
      "v2",
      [
        `MemoryHigh=t:${INFINITY}`,
        "TasksMax=t:1",
        "CPUQuotaPeriodUSec=t:50000",
        "CPUQuotaPerSecUSec=t:100000",
        "CPUWeight=t:42",
      ],
    ],
  ])("with %j in %s", (resources, version, expected) => {
    expect(printed(resourceProperties(resources, version, 257))).toEqual(expected);
  });

  test("has a quota in whole percents, in its files as well", () => {
    expect(roundQuota({ cpu: { quota: 12_345, period: 50_000 } })).toEqual({ cpu: { quota: 12_500, period: 50_000 } });
    expect(roundQuota({ cpu: { quota: 5000 } })).toEqual({ cpu: { quota: 5000 } });
  });

  test("is idle, or has a weight", () => {
    expect(withoutWeight({ cpu: { idle: 1, shares: 5, quota: 6 } })).toEqual({
      cpu: { idle: 1, quota: 6 },
      unified: {},
    });
    expect(withoutWeight({ unified: { "cpu.idle": "1\n", "cpu.weight": "8" } })).toEqual({
      cpu: {},
      unified: { "cpu.idle": "1\n" },
    });
    for (const cpu of [{ idle: 1 as const }, { idle: 0 as const, shares: 5 }])
      expect(withoutWeight({ cpu })).toBeUndefined();
  });

  test("has properties of annotations", () => {
    const properties = annotatedProperties({
      "org.systemd.property.TimeoutStopSec": "15",
      "org.systemd.property.CollectMode": "'inactive-or-failed'",
      "org.systemd.property.After": "['a.service', 'b.service']",
    });
    expect(printed(properties)).toEqual([
      "TimeoutStopUSec=t:15000000",
      "CollectMode=s:inactive-or-failed",
      "After=as:a.service,b.service",
    ]);
  });
  test.each([
    ["org.systemd.property.X", "5", "no name of a property"],
    ["org.systemd.property.A-b", "5", "no name of a property"],
    ["org.systemd.property.Foo", "what", "no value"],
    ["org.systemd.property.TimeoutStopSec", "'x'", "seconds are a number"],
  ])("has none of %p: %p", async (key, value, message) => {
    expect((await failureOf(() => annotatedProperties({ [key]: value }))).message).toContain(message);
  });

  test.each<[string, object | undefined]>([
    ["true", { signature: "b", value: true }],
    ["-5", { signature: "i", value: -5 }],
    ["uint64 0xff", { signature: "t", value: 255n }],
    ["byte 256", undefined],
    ["2.5", { signature: "d", value: 2.5 }],
    ['"it\'s"', { signature: "s", value: "it's" }],
    ["[1, 2]", { signature: "ai", value: [1, 2] }],
    ["[1, 'a']", undefined],
    ["[]", undefined],
    ["[1", undefined],
    ["1 2", undefined],
    ["constructor 5", undefined],
    ["", undefined],
  ])("the value %p", (text, expected) => expect(parseVariant(text)).toEqual(expected as never));

  test("knows what is allowed of devices, not what is denied", () => {
    const allow = (rest: object) => ({ allow: true, ...rest });
    expect(
      printed(
        deviceProperties([
          { allow: false },
          allow({ type: "c", major: 1, minor: 3, access: "rw" }),
          allow({ type: "b", major: 8 }),
          allow({ type: "c", access: "m" }),
        ]),
      ),
    ).toEqual([
      "DevicePolicy=s:strict",
      "DeviceAllow=a(ss):",
      "DeviceAllow=a(ss):/dev/char/1:3,rw,block-8,rwm,char-*,m",
    ]);
    expect(deviceProperties([{ allow: true }])).toEqual([]);
    expect(deviceProperties([{ allow: false }, allow({ type: "c", minor: 3 })])).toEqual([]);
  });
});

describe("a real systemd", () => {
  const noSystemd = existsSync("/run/systemd/system")
    ? asRoot || process.env["XDG_RUNTIME_DIR"]
      ? undefined
      : "this user has no session"
    : "systemd does not run here";
  const systemctl = (...words: string[]) =>
    Bun.spawnSync(["systemctl", ...(asRoot ? [] : ["--user"]), ...words])
      .stdout.toString()
      .trim();
  const shown = (unit: string, name: string) => systemctl("show", "--property", name, "--value", unit);
  let made = 0;
  const planned = (cgroupsPath?: string, annotations?: Record<string, string>) =>
    ContainerCgroup.plan({
      id: `test-${process.pid}-${++made}`,
      cgroupsPath,
      systemd: true,
      rootless: !asRoot,
      annotations,
    });
  const groupOf = (pid: number) => /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];

  async function withUnit(
    resources: Resources,
    use: (cgroup: ContainerCgroup, unit: string, pid: number) => unknown,
    record = planned(),
  ): Promise<void> {
    const process = Bun.spawn(["sleep", "1000"]);
    const cgroup = new ContainerCgroup(await record);
    const unit = cgroup.record.unit?.name as string;
    try {
      await cgroup.make(resources, process.pid);
      await use(new ContainerCgroup(cgroup.record), unit, process.pid);
    } finally {
      process.kill(9);
      await process.exited;
      await cgroup.kill(9);
      await cgroup.remove();
    }
    expect(await eventually(() => shown(unit, "LoadState") !== "loaded")).toBe(true);
    expect(Object.values(cgroup.record.paths).filter((path) => existsSync(path))).toEqual([]);
  }

  testUnless(
    noSystemd,
    "keeps a process in a scope, with its limits, until it is removed",
    async () => {
      const resources: Resources = {
        memory: { limit: 64 << 20, swap: 96 << 20 },
        cpu: { shares: 2048, quota: 12_345, period: 50_000 },
        pids: { limit: 0 },
      };
      await withUnit(resources, async (cgroup, unit, pid) => {
        const path = cgroup.record.paths[""] as string;
        expect(path.endsWith(groupOf(pid) as string)).toBe(true);
        expect(cgroup.pids()).toEqual([pid]);
        expect([cgroup.isMoved, cgroup.membership]).toEqual([true, { tasks: 0, into: false }]);
        const read = (file: string) => readFileSync(`${path}/${file}`, "utf8").trim();
        expect([read("memory.max"), read("cpu.weight"), read("cpu.max"), read("pids.max")]).toEqual([
          String(64 << 20),
          "174",
          "12500 50000",
          "1",
        ]);
        expect(["MemoryMax", "CPUWeight", "TasksMax", "Delegate"].map((name) => shown(unit, name))).toEqual([
          String(64 << 20),
          "174",
          "1",
          "yes",
        ]);
        await cgroup.update({ memory: { limit: 32 << 20, swap: 32 << 20 }, pids: { limit: -1 }, cpu: { quota: 5000 } });
        expect([read("memory.max"), read("pids.max"), read("cpu.max")]).toEqual([
          String(32 << 20),
          "max",
          "5000 50000",
        ]);
        expect([shown(unit, "MemoryMax"), shown(unit, "TasksMax")]).toEqual([String(32 << 20), "infinity"]);
        systemctl("daemon-reload");
        expect([read("memory.max"), read("pids.max"), read("cpu.max")]).toEqual([
          String(32 << 20),
          "max",
          "5000 50000",
        ]);
        await cgroup.freeze();
        expect(await cgroup.isFrozen()).toBe(true);
        await cgroup.thaw();
      });
    },
    120_000,
  );

  testUnless(
    noSystemd,
    "in a slice, with properties of annotations",
    async () => {
      const record = planned("tsboxtest-a.slice:p:x", { "org.systemd.property.TimeoutStopSec": "7", other: "x" });
      await withUnit(
        {},
        (cgroup, unit, pid) => {
          expect(unit).toBe("p-x.scope");
          expect(groupOf(pid)).toEndWith("/tsboxtest.slice/tsboxtest-a.slice/p-x.scope");
          expect(shown(unit, "TimeoutStopUSec")).toBe("7s");
        },
        record,
      );
      systemctl("stop", "tsboxtest-a.slice", "tsboxtest.slice");
    },
    120_000,
  );

  testUnless(
    noSystemd,
    "moves another process there",
    async () => {
      await withUnit({}, async (cgroup, _, pid) => {
        const other = Bun.spawn(["sleep", "1000"]);
        try {
          await cgroup.below({}).addProcess(other.pid);
          expect(groupOf(other.pid)).toBe(groupOf(pid) as string);
          expect(cgroup.pids().toSorted()).toEqual([pid, other.pid].toSorted());
        } finally {
          other.kill(9);
          await other.exited;
        }
      });
    },
    120_000,
  );

  testUnless(
    noSystemd,
    "a unit of the same name is somebody else's, and stays",
    async () => {
      await withUnit({}, async (cgroup, unit) => {
        const [name] = unit.split(".scope");
        const second = Bun.spawn(["sleep", "1000"]);
        try {
          const other = new ContainerCgroup(await planned(`tsboxtest.slice::${name}`));
          const error = await failureOf(() => other.make({}, second.pid));
          expect([error.code, error.message]).toEqual(["limit_unavailable", expect.stringContaining(unit)]);
          await other.remove();
          expect([second.exitCode, shown(unit, "ActiveState")]).toEqual([null, "active"]);
          expect(cgroup.pids().length).toBe(1);
        } finally {
          second.kill(9);
          await second.exited;
        }
      });
    },
    120_000,
  );

  testUnless(
    noSystemd,
    "limits that cannot be had leave no unit",
    async () => {
      const process = Bun.spawn(["sleep", "1000"]);
      const cgroup = new ContainerCgroup(await planned());
      const error = await failureOf(() => cgroup.make({ unified: { "memory.bogus": "1" } }, process.pid));
      expect(error.message).toContain("no such file or directory");
      expect(await eventually(() => shown(cgroup.record.unit?.name as string, "LoadState") !== "loaded")).toBe(true);
      process.kill(9);
      await process.exited;
      expect(Object.values(cgroup.record.paths).filter((path) => existsSync(path))).toEqual([]);
    },
    120_000,
  );

  const withSystemd = existsSync("/run/systemd/system") ? "systemd runs here" : undefined;
  testUnless(withSystemd, "that does not run is told", async () => {
    expect((await failureOf(() => planned())).message).toBe(
      "systemd not running on this host, cannot use systemd cgroups manager",
    );
  });
});
