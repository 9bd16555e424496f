/** The event loop of one thread's own, and the sockets that it is for. @module */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { Loop } from "../lib/loop/index.ts";
import * as sys from "../syscalls/index.ts";
import { EPOLLIN, EPOLLOUT, EPOLLRDHUP, type Peer } from "../syscalls/index.ts";

const descriptors = () => readdirSync("/proc/self/fd").length;
const LOCAL = { 4: Uint8Array.of(127, 0, 0, 1), 6: new Uint8Array(16).fill(1, 15) };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const ECONNREFUSED = 111;

function listening(family: 4 | 6): { fd: number; at: Peer } {
  const fd = sys.openSocket("tcp", family);
  expect(sys.bindSocket(fd, { address: LOCAL[family], port: 0 })).toBe(0);
  expect(sys.listenSocket(fd, 8)).toBe(0);
  return { fd, at: sys.localAddress(fd) as Peer };
}

describe("a loop", () => {
  test("lets timers pass in their order, and none that was cancelled", () => {
    using loop = new Loop();
    const passed: string[] = [];
    loop.after(20, () => passed.push("20"));
    loop.after(5, () => passed.push("5"));
    const cancelled = loop.after(5, () => passed.push("cancelled"));
    loop.after(5, () => passed.push("5 again"));
    loop.after(30, () => loop.wake());
    cancelled.cancel();
    const started = performance.now();
    loop.run();
    expect(passed).toEqual(["5", "5 again", "20"]);
    expect(performance.now() - started).toBeGreaterThanOrEqual(30);
  });

  test("does not take events of a descriptor for those of another with its number", () => {
    using loop = new Loop();
    const [a, b] = [sys.pipe(), sys.pipe()];
    for (const [, writer] of [a, b]) sys.write(writer, Uint8Array.of(1));
    const told: string[] = [];
    const handler = (own: string, other: number) => () => {
      told.push(own);
      loop.remove(other);
      sys.close(other);
      // the lowest free number: that of what was closed
      const again = sys.pipe();
      expect(again[0]).toBe(other);
      loop.add(again[0], EPOLLIN, () => told.push("nothing is in this one"));
      loop.remove(own === "a" ? a[0] : b[0]);
      sys.close(again[1]);
      loop.remove(again[0]);
      sys.close(again[0]);
    };
    loop.add(a[0], EPOLLIN, handler("a", b[0]));
    loop.add(b[0], EPOLLIN, handler("b", a[0]));
    loop.turn(0);
    expect(told.length).toBe(1);
    for (const fd of [told[0] === "a" ? a[0] : b[0], a[1], b[1]]) sys.close(fd);
  });

  test("is woken by another thread", async () => {
    using loop = new Loop();
    const [at, code] = [
      new URL("../syscalls/index.ts", import.meta.url).href,
      `setTimeout(() => raiseCounter(fd), 50)`,
    ];
    const source = `import { raiseCounter } from ${JSON.stringify(at)}; const fd = ${loop.waker}; ${code};`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "application/typescript" })));
    loop.run();
    worker.terminate();
  });

  test("goes on behind a handler that throws, where somebody is told", () => {
    const failures: unknown[] = [];
    using loop = new Loop((error) => failures.push(error));
    loop.after(0, () => {
      throw new Error("a");
    });
    loop.after(1, () => loop.wake());
    loop.run();
    expect(failures).toEqual([new Error("a")]);
    using strict = new Loop();
    strict.after(0, () => {
      throw new Error("b");
    });
    expect(() => strict.run()).toThrow("b");
  });

  test("lets messages come between its turns", async () => {
    using loop = new Loop();
    let told = false;
    setTimeout(() => (told = true), 10);
    const tick = () => {
      loop.wake();
      if (!told) loop.after(5, tick);
    };
    tick();
    await loop.serve(() => told);
    expect(told).toBe(true);
  });
});

describe.each([4, 6] as const)("sockets of version %d", (family) => {
  test("relay a connection by a pipe", () => {
    const before = descriptors();
    {
      using loop = new Loop();
      const { fd: listener, at } = listening(family);
      const client = sys.openSocket("tcp", family);
      expect([0, -115]).toContain(sys.connectTo(client, at));
      let [accepted, got] = [-1, ""];
      const pipe = sys.openPipe();
      loop.add(listener, EPOLLIN, () => {
        accepted = sys.acceptSocket(listener);
        expect(sys.peerAddress(accepted)).toEqual(sys.localAddress(client));
        loop.add(accepted, EPOLLIN | EPOLLRDHUP, () => {
          const moved = sys.splice(accepted, pipe.write, 65536);
          if (moved > 0) expect(sys.splice(pipe.read, accepted, moved)).toBe(moved);
        });
      });
      loop.add(client, EPOLLOUT, () => {
        sys.write(client, new TextEncoder().encode("hello"));
        loop.modify(client, EPOLLIN);
        loop.remove(client);
        loop.add(client, EPOLLIN, () => {
          got += text(sys.read(client) as Uint8Array);
          if (got === "hello") loop.wake();
        });
      });
      loop.run();
      expect(got).toBe("hello");
      for (const fd of [listener, client, accepted, pipe.read, pipe.write]) sys.close(fd);
    }
    expect(descriptors()).toBe(before);
  });

  test("tell a reset, and who refuses", () => {
    using loop = new Loop();
    const { fd: listener, at } = listening(family);
    const client = sys.openSocket("tcp", family);
    sys.connectTo(client, at);
    loop.turn(10);
    sys.resetSocket(sys.acceptSocket(listener));
    expect(sys.read(client)).toBe(-104);
    sys.close(client);
    sys.close(listener);
    const refused = sys.openSocket("tcp", family);
    sys.connectTo(refused, at);
    loop.add(refused, EPOLLOUT, () => loop.wake());
    loop.run();
    expect(sys.getOption(refused, sys.SOL_SOCKET, sys.SO_ERROR)).toBe(ECONNREFUSED);
    sys.close(refused);
  });

  test("take and send many datagrams at once, from the address that each was sent to", () => {
    using receiver = new sys.DatagramReceiver(8, 2048);
    using sender = new sys.DatagramSender(8, 2048);
    const server = sys.openSocket("udp", family);
    const wanted = family === 4 ? [sys.SOL_IP, sys.IP_PKTINFO] : [sys.SOL_IPV6, sys.IPV6_RECVPKTINFO];
    sys.setOption(server, wanted[0] as number, wanted[1] as number, 1);
    expect(sys.bindSocket(server, { address: new Uint8Array(family === 4 ? 4 : 16), port: 0 })).toBe(0);
    const port = (sys.localAddress(server) as Peer).port;
    // the whole of 127.0.0.0/8 is this machine's
    const address = family === 4 ? Uint8Array.of(127, 1, 2, 3) : LOCAL[6];
    const client = sys.openSocket("udp", family);
    for (let n = 0; n < 20; n++) {
      if (sender.isFull) sender.send(client);
      sender.add(new TextEncoder().encode(`question ${n}`), { address, port });
    }
    sender.send(client);
    let asked = 0;
    for (;;) {
      const found = receiver.receive(server);
      if (typeof found === "number") break;
      for (const { bytes, from, to } of found) {
        expect(text(bytes)).toBe(`question ${asked++}`);
        expect(to?.address).toEqual(address);
        sender.add(bytes, from, to?.address);
      }
      sender.send(server);
    }
    expect(asked).toBe(20);
    let answers = 0;
    for (let found = receiver.receive(client); typeof found !== "number"; found = receiver.receive(client))
      for (const { from } of found) expect({ ...from, n: answers++ }).toMatchObject({ address, port });
    expect(answers).toBe(20);
    // the bounds are kept, and what is longer is told
    expect(() => sender.add(new Uint8Array(2049), { address, port })).toThrow(RangeError);
    using large = new sys.DatagramSender(1, 4096);
    large.add(new Uint8Array(3000), { address, port });
    expect(large.send(client)).toBe(1);
    expect(receiver.receive(server)).toMatchObject([{ truncated: true, bytes: { length: 2048 } }]);
    sys.close(server);
    sys.close(client);
  });

  test("say where a datagram was going to", () => {
    using receiver = new sys.DatagramReceiver(2, 512);
    using sender = new sys.DatagramSender(2, 512);
    const server = sys.openSocket("udp", family);
    const [level, option] =
      family === 4 ? [sys.SOL_IP, sys.IP_RECVORIGDSTADDR] : [sys.SOL_IPV6, sys.IPV6_RECVORIGDSTADDR];
    expect(sys.setOption(server, level as number, option as number, 1)).toBe(0);
    expect(sys.bindSocket(server, { address: LOCAL[family], port: 0 })).toBe(0);
    const at = sys.localAddress(server) as Peer;
    const client = sys.openSocket("udp", family);
    expect(sys.connectTo(client, at)).toBe(0);
    sender.add(Uint8Array.of(1));
    expect(sender.send(client)).toBe(1);
    expect(receiver.receive(server)).toMatchObject([{ to: at, from: sys.localAddress(client) }]);
    sys.close(server);
    sys.close(client);
  });
});
