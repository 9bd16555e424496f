/**
 * systemd, as far as it keeps the control groups of containers: transient scopes.
 * @module
 * @see org.freedesktop.systemd1(5), systemd.scope(5)
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import { Bus, BUS, BusError, type Address } from "./bus.ts";
import type { Message } from "./message.ts";
import type { Value, Variant } from "./signature.ts";

const SYSTEMD = { destination: "org.freedesktop.systemd1", path: "/org/freedesktop/systemd1" };
const MANAGER = { ...SYSTEMD, interface: "org.freedesktop.systemd1.Manager" };
const JOB_MS = 30_000;
const F_OK = 0;

/** Of a unit: its name in D-Bus, and a value. */
export type Property = readonly [name: string, value: Variant];

export const property = (name: string, signature: string, value: Value): Property => [name, { signature, value }];

type Environment = Record<string, string | undefined>;

export class Manager {
  readonly #bus: Bus;

  private constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** @param user the user's own systemd @throws TsboxError `limit_unavailable` */
  static async connect(user: boolean, addresses = addressesOf(user, process.env), answerMs?: number): Promise<Manager> {
    let last: unknown;
    for (const address of addresses) {
      try {
        return await Manager.#connectTo(address, answerMs);
      } catch (error) {
        last = error;
      }
    }
    throw new TsboxError(
      `connect to systemd${user ? " of the user" : ""}: ${addresses.length === 0 ? "no socket of it is here" : String((last as Error).message)}`,
      {
        code: "limit_unavailable",
        hint: user
          ? "log in with a session bus: XDG_RUNTIME_DIR or DBUS_SESSION_BUS_ADDRESS has to be set"
          : "without systemd, leave out --systemd-cgroup",
        cause: last,
      },
    );
  }

  static async #connectTo(address: Address, answerMs?: number): Promise<Manager> {
    const bus = await Bus.connect(address, answerMs);
    const manager = new Manager(bus);
    try {
      // straight connections are told of all jobs anyway
      if (address.isBus) await manager.#subscribe();
      return manager;
    } catch (error) {
      bus[Symbol.dispose]();
      throw error;
    }
  }

  async #subscribe(): Promise<void> {
    const rule = `type='signal',sender='${SYSTEMD.destination}',interface='${MANAGER.interface}',member='JobRemoved'`;
    await this.#bus.call({ ...BUS, member: "AddMatch", signature: "s", values: [rule] });
    await this.#call("Subscribe", "", []);
  }

  [Symbol.dispose](): void {
    this.#bus[Symbol.dispose]();
  }

  #call(member: string, signature: string, values: Value[]): Promise<Value[]> {
    return this.#bus.call({ ...MANAGER, member, signature, values });
  }

  /** Of the manager itself, a text: `Version`, `ControlGroup`. */
  async property(name: string): Promise<string> {
    const [value] = await this.#bus.call({
      ...SYSTEMD,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      values: [MANAGER.interface, name],
    });
    const text = (value as Variant | undefined)?.value;
    if (typeof text === "string") return text;
    throw new TsboxError(`ask systemd for ${name}: its answer is no text`, { code: "system" });
  }

  /** The number of its version, `252` of `252.38-1~deb12u1`. */
  async version(): Promise<number> {
    return Number(/\d+/.exec(await this.property("Version"))?.[0] ?? 0);
  }

  /** @throws TsboxError `limit_unavailable` */
  async startScope(unit: string, properties: readonly Property[]): Promise<void> {
    const start = () =>
      this.#job("StartTransientUnit", "ssa(sv)a(sa(sv))", [unit, "replace", properties as readonly Value[], []]);
    let result;
    try {
      result = await start();
    } catch (error) {
      if (!isError(error, "UnitExists")) throw unavailable(`start the unit "${unit}"`, error);
      // one that failed stays until somebody has seen it
      await this.resetFailed(unit);
      result = await start().catch((again: unknown) => {
        throw unavailable(`start the unit "${unit}"`, again);
      });
    }
    if (result === "done") return;
    await this.resetFailed(unit);
    throw new TsboxError(`start the unit "${unit}": systemd says "${result}"`, { code: "limit_unavailable" });
  }

  /** For as long as the unit lives. @throws TsboxError `limit_unavailable` */
  async setProperties(unit: string, properties: readonly Property[]): Promise<void> {
    if (properties.length === 0) return;
    try {
      await this.#call("SetUnitProperties", "sba(sv)", [unit, true, properties as readonly Value[]]);
    } catch (error) {
      throw unavailable(`change the unit "${unit}"`, error);
    }
  }

  /** @param below a group below the unit's own, `"/a"`; empty: its own @throws TsboxError `limit_unavailable` */
  async attach(unit: string, below: string, pids: readonly number[]): Promise<void> {
    try {
      await this.#call("AttachProcessesToUnit", "ssau", [unit, below, pids]);
    } catch (error) {
      throw unavailable(`move processes to the unit "${unit}"`, error);
    }
  }

  /** One that is not there is stopped. */
  async stop(unit: string): Promise<void> {
    try {
      await this.#job("StopUnit", "ss", [unit, "replace"]);
    } catch (error) {
      if (!isError(error, "NoSuchUnit")) throw error;
    }
    await this.resetFailed(unit);
  }

  async resetFailed(unit: string): Promise<void> {
    try {
      await this.#call("ResetFailedUnit", "s", [unit]);
    } catch (error) {
      // one that did well is forgotten by itself
      if (!(error instanceof BusError)) throw error;
    }
  }

  /** @returns what became of it: `done`, `failed`, `timeout`, … */
  async #job(member: string, signature: string, values: Value[]): Promise<string> {
    const [job] = await this.#call(member, signature, values);
    const isIts = ({ member: name, interface: from, values: [, path] }: Message) =>
      name === "JobRemoved" && from === MANAGER.interface && path === job;
    // u id, o job, s unit, s result
    const [, , , result] = (await this.#bus.signal(isIts, JOB_MS)).values;
    return typeof result === "string" ? result : "";
  }
}

const isError = (error: unknown, name: string): boolean =>
  error instanceof BusError && error.errorName === `org.freedesktop.systemd1.${name}`;

const unavailable = (action: string, error: unknown): TsboxError =>
  new TsboxError(`${action}: ${(error as Error).message}`, { code: "limit_unavailable", cause: error });

/** Straight to systemd is best: it needs nothing else to run. */
export function addressesOf(user: boolean, environment: Environment): Address[] {
  const runtime = environment["XDG_RUNTIME_DIR"];
  const bus = environment["DBUS_SESSION_BUS_ADDRESS"];
  const found: (Address | undefined)[] = user
    ? [
        runtime ? { socket: `${runtime}/systemd/private`, isBus: false } : undefined,
        bus ? parseAddress(bus) : undefined,
        runtime ? { socket: `${runtime}/bus`, isBus: true } : undefined,
      ]
    : [
        { socket: "/run/systemd/private", isBus: false },
        { socket: "/run/dbus/system_bus_socket", isBus: true },
      ];
  return found.filter(
    (each): each is Address => each !== undefined && (isAbstract(each) || sys.access(each.socket, F_OK)),
  );
}

const isAbstract = ({ socket }: Address) => socket.startsWith("@");

/** `unix:path=/run/user/1000/bus,guid=…;…`: the first that is a Unix socket. */
function parseAddress(text: string): Address | undefined {
  for (const one of text.split(";")) {
    const [, kind, value] = /^unix:(?:.*,)?(path|abstract)=([^,]*)/.exec(one) ?? [];
    if (kind === undefined || value === undefined) continue;
    const name = value.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
    return { socket: kind === "abstract" ? `@${name}` : name, isBus: true };
  }
  return undefined;
}
