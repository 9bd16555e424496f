/**
 * From the flags of `tsbox run` and `tsbox create` to what a container is asked for; which flags exclude each other, as
 * Docker has it. What values mean beyond their syntax is checked by the library.
 * @module
 */
import type {
  ContainerMount,
  ContainerOptions,
  ContainerPolicy,
  HealthOptions,
  LogOptions,
  RestartPolicy,
} from "../../containers/index.ts";
import type { ContainerFlags } from "../flags.ts";
import { invalid } from "../invalid.ts";
import { addressOf, macAddress, networkOf } from "./network-flag.ts";
import { mount, tmpfs, volume } from "../mount-flags.ts";
import {
  attachedStreams,
  defined,
  envFileLines,
  meant,
  readFile,
  sharedOptions,
  TERMINAL,
  type World,
} from "../run-options.ts";

/**
 * @param words an image, its command and arguments; or these alone, where there is another root filesystem
 * @throws TsboxError `invalid_option`
 */
export function containerRequest(words: string[], given: ContainerFlags, world: World): ContainerOptions {
  const flags = meant(given);
  checkTogether(flags);
  const [image, command] = flags.rootfs === undefined ? [words[0], words.slice(1)] : [undefined, words];
  const { pid, ipc, ...others } = flags;
  const [pidOf, ipcOf] = [ofContainer(pid), ofContainer(ipc)];
  const own = { ...(pid !== undefined && !pidOf && { pid }), ...(ipc !== undefined && !ipcOf && { ipc }) };
  const shared = sharedOptions(image, { ...others, ...own }, world);
  return {
    ...shared,
    namespaces: { ...shared.namespaces, ...(pidOf && { pid: pidOf }), ...(ipcOf && { ipc: ipcOf }) },
    ...(command.length > 0 ? { command } : {}),
    ...streams(flags),
    ...described(flags, world),
    ...names(flags),
    ...networks(flags),
    ...mounts(flags, world),
    ...defined({
      name: flags.name,
      restart: flags.restart as RestartPolicy | undefined, // its words are the library's business
      remove: flags.rm || undefined,
      health: health(flags),
      log: log(flags),
      stopSignal: flags.stopSignal,
      stopTimeout: flags.stopTimeout === undefined ? undefined : seconds("--stop-timeout", flags.stopTimeout),
    }),
  };
}

const HEALTH = ["healthCmd", "healthInterval", "healthTimeout", "healthRetries", "healthStartPeriod"] as const;
const OF_SANDBOXES = [
  ["cpuTime", "--cpu-time"],
  ["writableLayer", "--writable-layer"],
] as const;

function checkTogether(flags: ContainerFlags): void {
  const conflict = (flag: string, value: string, why: string) =>
    invalid(flag, value, `conflicting options: ${why}`, "leave one of them out");
  if (flags.detach && flags.attach)
    throw conflict("--attach", flags.attach.join(), "cannot specify both --attach and --detach");
  if (flags.rm && flags.restart !== undefined && !/^(?:no(?::.*)?)?$/.test(flags.restart))
    throw conflict("--restart", flags.restart, "cannot specify both --restart and --rm");
  if (flags.healthcheck === false) {
    const set = [...HEALTH, "healthStartInterval" as const].find((name) => flags[name] !== undefined);
    if (set !== undefined)
      throw conflict("--no-healthcheck", "true", "--no-healthcheck conflicts with --health-* options");
  }
  for (const [name, flag] of OF_SANDBOXES) {
    const value = flags[name];
    if (value !== undefined)
      throw invalid(
        flag,
        String(value),
        "a container has no such thing",
        'a sandbox has, which "tsbox run --rm" makes',
      );
  }
  if (flags.volumeDriver !== undefined && flags.volumeDriver !== "local")
    throw invalid("--volume-driver", flags.volumeDriver, "there is no such volume driver", "local");
}

/** As Docker has it: whoever is attached to stdin from the beginning ends it when he goes. */
function streams(flags: ContainerFlags): Pick<ContainerOptions, "attach" | "openStdin" | "terminal"> {
  const { interactive = false, tty, detach } = flags;
  const attach = detach ? [] : attachedStreams(flags);
  return {
    attach,
    ...(interactive ? { openStdin: attach.includes("stdin") ? ("once" as const) : true } : {}),
    ...(tty ? { terminal: { ...TERMINAL } } : {}),
  };
}

function described(flags: ContainerFlags, world: World): Pick<ContainerOptions, "labels" | "annotations" | "expose"> {
  const lines = (flags.labelFile ?? []).flatMap((path) =>
    envFileLines(path, readFile("--label-file", path, world), "--label-file"),
  );
  const labels = keyValues("--label", [...lines, ...(flags.label ?? [])]);
  const annotations = keyValues("--annotation", flags.annotation ?? []);
  const expose = (flags.expose ?? []).flatMap(ports);
  return {
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    ...(expose.length > 0 ? { expose } : {}),
  };
}

/** The last one of a key counts; without a value it is empty. */
function keyValues(flag: string, words: readonly string[]): Record<string, string> {
  const pairs = words.map((word): [string, string] => {
    const [, key = "", value = ""] = /^([^=]*)(?:=([^]*))?$/.exec(word) ?? [];
    if (key === "") throw invalid(flag, word, "no key", '"key=value"');
    return [key, value];
  });
  return Object.fromEntries(pairs);
}

const MOST_PORTS = 65535;

/** `"8000-8002/udp"`: each of them. */
function ports(text: string): string[] {
  const [, from = "", to = from, protocol = "tcp"] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if (from === "" || first < 1 || last > MOST_PORTS || last < first)
    throw invalid("--expose", text, "invalid range format for --expose", '"80", "53/udp" or "8000-8010"');
  return Array.from({ length: last - first + 1 }, (_, at) => `${first + at}/${protocol.toLowerCase()}`);
}

function mounts(flags: ContainerFlags, world: World): Pick<ContainerOptions, "mounts" | "volumes" | "volumesFrom"> {
  const made: ContainerMount[] = [
    ...(flags.mount ?? []).map((text) => mount(text, world.cwd)),
    ...(flags.tmpfs ?? []).map(tmpfs),
  ];
  return {
    ...(made.length > 0 ? { mounts: made } : {}),
    ...(flags.volume ? { volumes: flags.volume.map((text) => absoluteVolume(text, world.cwd)) } : {}),
    ...(flags.volumesFrom ? { volumesFrom: flags.volumesFrom } : {}),
  };
}

/** As it was given, but for a source that begins at the working directory. */
function absoluteVolume(text: string, cwd: string | undefined): string {
  const made = volume(text, cwd);
  return made.type === "bind" ? `${made.source}${text.slice(text.indexOf(":"))}` : text;
}

/** `"container:NAME"` */
const ofContainer = (sharing: string | undefined): `container:${string}` | undefined =>
  /^container:./.test(sharing ?? "") ? (sharing as `container:${string}`) : undefined;

/** @internal `--allow` and `--deny`, also of `tsbox update`. */
export function policyOf({ allow, deny }: Pick<ContainerFlags, "allow" | "deny">): ContainerPolicy | undefined {
  return allow || deny ? defined({ allow, deny }) : undefined;
}

type Networked = Pick<ContainerOptions, "network" | "networks" | "ports" | "publishAll">;

function networks(flags: ContainerFlags): Networked {
  const named = flags.network ?? flags.net ?? [];
  const policy = policyOf(flags);
  if (policy && named[0] !== undefined)
    throw invalid(
      "--network",
      named[0],
      "there are --allow and --deny, which make another one",
      "leave one of them out",
    );
  const published = {
    ...(flags.publish ? { ports: flags.publish } : {}),
    ...(flags.publishAll ? { publishAll: true } : {}),
  };
  const [only] = named;
  const alone = named.find((name) => /^(?:none$|host$|ns:|container:)/.test(name));
  if (alone !== undefined && named.length > 1)
    throw invalid("--network", alone, "conflicting options: it cannot be one of several", "leave the others out");
  if (alone === "container:" || alone === "ns:")
    throw invalid("--network", alone, "not understood", "container:NAME or ns:PATH");
  const aliases = [...(flags.networkAlias ?? []), ...(flags.netAlias ?? [])];
  const addresses = [
    ...(flags.ip === undefined ? [] : [addressOf("--ip", flags.ip, 4)]),
    ...(flags.ip6 === undefined ? [] : [addressOf("--ip6", flags.ip6, 6)]),
  ];
  const own = {
    ...(aliases.length > 0 ? { aliases } : {}),
    ...(addresses.length > 0 ? { addresses } : {}),
    ...(flags.macAddress === undefined ? {} : { mac: macAddress("--mac-address", flags.macAddress) }),
  };
  if (policy || only === undefined || alone !== undefined) {
    const [what] = Object.keys(own);
    if (what !== undefined)
      throw invalid("--network", only ?? "none", `conflicting options: ${what} and the network mode`, "--network NAME");
    if (policy) return { ...published, network: policy };
    return { ...published, ...(only === undefined ? {} : { network: only === "none" ? false : only }) };
  }
  return { ...published, networks: named.map((text, index) => ({ ...networkOf(text), ...(index === 0 ? own : {}) })) };
}

/** Files of the container that say what hosts are called, and who knows others. */
function names(flags: ContainerFlags): Pick<ContainerOptions, "addHosts" | "dns" | "dnsSearch" | "dnsOptions"> {
  const options = [...(flags.dnsOption ?? []), ...(flags.dnsOpt ?? [])];
  return {
    ...(flags.addHost ? { addHosts: flags.addHost.map(host) } : {}),
    ...(flags.dns ? { dns: flags.dns.map((text) => address("--dns", text)) } : {}),
    ...(flags.dnsSearch ? { dnsSearch: flags.dnsSearch.map(domain) } : {}),
    ...(options.length > 0 ? { dnsOptions: options } : {}),
  };
}

/** `"db:10.0.0.2"`, `"db=10.0.0.2"`, `"db:::1"`, `"db=[::1]"`. */
function host(text: string): string {
  const [, name = "", ip = ""] = /^([^:=]+)[:=](.+)$/.exec(text) ?? [];
  const hint = '"db:10.0.0.2"';
  if (name === "" || /\s/.test(name)) throw invalid("--add-host", text, `bad format for add-host: "${text}"`, hint);
  if (ip === "host-gateway") return `${name}:${ip}`;
  const plain = ip.replace(/^\[(.*)\]$/, "$1");
  if (!isAddress(plain)) throw invalid("--add-host", text, `invalid IP address in add-host: "${ip}"`, hint);
  return `${name}:${plain}`;
}

function address(flag: string, text: string): string {
  if (!isAddress(text)) throw invalid(flag, text, `${text} is not an ip address`);
  return text;
}

const isAddress = (text: string) => process.getBuiltinModule("node:net").isIP(text) !== 0;

/** A dot alone: there are none. */
function domain(text: string): string {
  if (text === ".") return text;
  if (!/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?$/i.test(text))
    throw invalid("--dns-search", text, `${text} is not a valid domain`);
  return text;
}

function health(flags: ContainerFlags): HealthOptions | undefined {
  if (flags.healthcheck === false) return { test: ["NONE"] };
  const { healthCmd, healthRetries } = flags;
  const set: HealthOptions = defined({
    test: healthCmd || undefined,
    interval: time("--health-interval", flags.healthInterval),
    timeout: time("--health-timeout", flags.healthTimeout),
    startPeriod: time("--health-start-period", flags.healthStartPeriod),
    startInterval: time("--health-start-interval", flags.healthStartInterval),
    retries: healthRetries === undefined ? undefined : retries(healthRetries),
  });
  return Object.keys(set).length > 0 ? set : undefined;
}

function retries(text: string): number {
  if (/^-\d+$/.test(text)) throw invalid("--health-retries", text, "--health-retries cannot be negative");
  if (!/^\d{1,9}$/.test(text)) throw invalid("--health-retries", text, "not a whole number");
  return Number(text);
}

const UNITS_MS: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const DURATION = /^(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+$/;

/** As Go writes durations: `"1m30s"`. @returns milliseconds; 0, and what is not given, is the default */
function time(flag: string, text: string | undefined): number | undefined {
  if (text === undefined || text === "0") return undefined;
  if (text.startsWith("-")) throw invalid(flag, text, `${flag} cannot be negative`);
  if (!DURATION.test(text)) throw invalid(flag, text, "not understood", '"30s", "1m30s" or "500ms"');
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNITS_MS[unit] ?? 0), 0);
  if (ms > 0 && ms < 1) throw invalid(flag, text, "minimum duration is 1ms");
  return ms === 0 ? undefined : Math.round(ms);
}

/** Of `--stop-timeout`, `stop --timeout`: a negative one waits for ever. @returns milliseconds */
export function seconds(flag: string, text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw invalid(flag, text, "not a number of seconds");
  return Number(text) * 1000;
}

const DRIVERS = ["local", "json-file", "none"] as const;

function log(flags: ContainerFlags): LogOptions | undefined {
  const { logDriver, logOpt = [] } = flags;
  const driver = DRIVERS.find((each) => each === logDriver);
  if (logDriver !== undefined && driver === undefined)
    throw invalid("--log-driver", logDriver, `no log driver named '${logDriver}' is registered`, DRIVERS.join(", "));
  const { "max-size": size, "max-file": maxFile, labels, env, ...others } = keyValues("--log-opt", logOpt);
  // as Docker writes "any"
  const maxSize = size === "-1" ? undefined : size;
  // Docker's local driver has neither
  const named = driver === "local" ? { ...(labels && { labels }), ...(env && { env }) } : {};
  const [unknown] = Object.keys({ ...others, ...named });
  if (unknown !== undefined || (driver === "none" && logOpt.length > 0)) {
    const name = unknown ?? logOpt[0]?.replace(/=.*/, "") ?? "";
    const why = `unknown log opt '${name}' for ${driver ?? "local"} log driver`;
    throw invalid(
      "--log-opt",
      logOpt.find((each) => each.startsWith(name)) ?? name,
      why,
      "max-size=10m, max-file=3, labels=a,b, env=A,B",
    );
  }
  if (maxFile !== undefined && !/^[1-9]\d{0,5}$/.test(maxFile))
    throw invalid("--log-opt", `max-file=${maxFile}`, "max-file cannot be less than 1");
  const maxFiles = maxFile === undefined ? undefined : Number(maxFile);
  if (maxFiles !== undefined && maxFiles > 1 && maxSize === undefined)
    throw invalid("--log-opt", `max-file=${maxFile}`, "max-size is needed with it", "--log-opt max-size=10m");
  const shown = { labels: labels?.split(","), env: env?.split(",") };
  const set: LogOptions = defined({ driver, maxSize, maxFiles, ...shown });
  return Object.keys(set).length > 0 ? set : undefined;
}
