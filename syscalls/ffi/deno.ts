/** The runtime adapter for Deno (`--allow-ffi`). @module */
import { TsboxError } from "../error.ts";
import { numberOf } from "../numbers.ts";
import { LIBC_NAMES, type Native, type Runtime } from "./runtime.ts";

// deno-lint-ignore no-explicit-any
declare const Deno: any;

const integers = (count: number) => Array.from({ length: count }, () => "i64");

/** Deno takes and returns 64-bit integers as BigInt. */
function toNumber(call: (...args: bigint[]) => bigint): Native {
  return (...args) => Number(call(...args.map(BigInt)));
}

export function openDeno(): Runtime {
  // deno-lint-ignore no-explicit-any
  let libc: any;
  for (const name of LIBC_NAMES) {
    try {
      libc = Deno.dlopen(name, {
        syscall: { parameters: integers(7), result: "i64" },
        close: { parameters: ["i32"], result: "i32" },
        shutdown: { parameters: ["i32", "i32"], result: "i32" },
        read: { parameters: ["i32", "buffer", "usize"], result: "i64", nonblocking: true },
        write: { parameters: ["i32", "buffer", "usize"], result: "i64", nonblocking: true },
      });
      break;
    } catch (cause) {
      if (cause instanceof Deno.errors.NotCapable) {
        throw new TsboxError("call the kernel: Deno was not given the permission", {
          code: "permission_denied",
          hint: "deno run --allow-all",
          cause,
        });
      }
      // the other C library
    }
  }
  if (!libc) throw new Error(`open the C library: none of ${LIBC_NAMES.join(", ")}`);
  const [libcSyscall, F_DUPFD_CLOEXEC] = [toNumber(libc.symbols.syscall), 1030];
  // a thread may begin to use it when the caller has closed it, and the number is another descriptor's
  const duplicate = (fd: number) => libcSyscall(numberOf("fcntl"), fd, F_DUPFD_CLOEXEC, 3, 0, 0, 0);
  return {
    name: "deno",
    isMainThread: !("DedicatedWorkerGlobalScope" in globalThis),
    nonBlockingTerminals: false,
    executable: () => (Deno.build.standalone ? undefined : { path: Deno.execPath(), env: {} }),
    libcSyscall,
    native(address, argumentCount) {
      const pointer = Deno.UnsafePointer.create(BigInt(address));
      const call = new Deno.UnsafeFnPointer(pointer, { parameters: integers(argumentCount), result: "i64" });
      return toNumber((...args) => call.call(...args));
    },
    memory: (address, length) =>
      Deno.UnsafePointerView.getArrayBuffer(Deno.UnsafePointer.create(BigInt(address)), length),
    readable(fd) {
      const own = duplicate(fd);
      let [reading, cancelled, open] = [false, false, true];
      const close = () => void (open && !reading && (libc.symbols.close(own), (open = false)));
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          const buffer = new Uint8Array(65536);
          reading = true;
          // blocks a thread of Deno's pool, not the event loop; that thread's errno cannot be asked for
          const length = Number(await libc.symbols.read(own, buffer, BigInt(buffer.length)));
          reading = false;
          if (cancelled) return close();
          if (length > 0) return controller.enqueue(buffer.subarray(0, length));
          close();
          if (length === 0) controller.close();
          else controller.error(new Error(`read descriptor ${fd}: the call failed`));
        },
        cancel() {
          cancelled = true;
          close();
        },
      });
    },
    receive(fd, take, ended) {
      const [SHUT_RD, SHUT_RDWR] = [0, 2];
      // as long as a thread may come to read it, its number must not become another descriptor's
      let [wanted, running, closing, open] = [true, true, false, true];
      const close = () => void (open && libc.symbols.close(fd), (open = false));
      const loop = async () => {
        const buffer = new Uint8Array(65536);
        while (wanted) {
          const length = Number(await libc.symbols.read(fd, buffer, BigInt(buffer.length)));
          if (length <= 0) break;
          if (wanted) take(buffer.slice(0, length));
        }
        running = false;
        if (wanted || closing) close();
        if (wanted) ended();
        wanted = false;
      };
      void loop();
      const stop = (how: number) => {
        if (running) libc.symbols.shutdown(fd, how); // wakes the thread that reads
        wanted = false;
      };
      return {
        close() {
          closing = true;
          if (running) stop(SHUT_RDWR);
          else close();
        },
        // a thread that waits keeps a script from ending
        unref: () => stop(SHUT_RD),
      };
    },
    writer(fd) {
      return async (bytes) => {
        const own = duplicate(fd);
        try {
          for (let done = 0; done < bytes.length;) {
            const part = bytes.subarray(done);
            const length = Number(await libc.symbols.write(own, part, BigInt(part.length)));
            if (length < 0) throw new Error(`write to descriptor ${fd}: the call failed`);
            done += length;
          }
        } finally {
          libc.symbols.close(own);
        }
      };
    },
    serve(path, answer) {
      const onError = () => new Response(null, { status: 500 });
      // it says that it is one of a Unix socket by the scheme
      const asHttp = ({ url, method, headers, body }: Request) =>
        new Request(url.replace(/^http\+unix:/, "http:"), { method, headers, body, duplex: "half" } as RequestInit);
      const answerHttp = (request: Request) => answer(asHttp(request));
      const server = Deno.serve({ path, onListen: () => {}, onError }, answerHttp);
      server.unref();
      return { close: () => void server.shutdown().catch(() => {}) };
    },
    fetchOver,
  };
}

const NULL_BODY = [101, 204, 205, 304];

/** Not its `fetch`, which takes a Unix socket for a proxy and asks it for whole URLs. It knows no TLS. */
async function fetchOver(path: string, request: Request): Promise<Response> {
  const { request: open } = process.getBuiltinModule("node:http");
  const { Readable } = process.getBuiltinModule("node:stream");
  const { protocol, pathname, search, host } = new URL(request.url);
  if (protocol !== "http:") throw new Error("no TLS over a Unix socket");
  const { method, signal, body } = request;
  const headers = { ...Object.fromEntries(request.headers), host };
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const asked = open({ socketPath: path, path: pathname + search, method, headers, signal, agent: false });
  asked.on("error", reject);
  asked.on("response", (told) => {
    const { statusCode: status = 500, statusMessage: statusText = "" } = told;
    const said = new Headers();
    for (let at = 0; at + 1 < told.rawHeaders.length; at += 2)
      said.append(told.rawHeaders[at] as string, told.rawHeaders[at + 1] as string);
    const content =
      NULL_BODY.includes(status) || method === "HEAD" ? null : (Readable.toWeb(told) as unknown as ReadableStream);
    resolve(new Response(content, { status, statusText, headers: said }));
  });
  if (body)
    Readable.fromWeb(body as never)
      .on("error", reject)
      .pipe(asked);
  else asked.end();
  return promise;
}
