/** A container as Docker's API describes it. @module @see https://docs.docker.com/reference/api/engine/ */
import { checkOptions } from "../options/index.ts";
import { parseExposed, parsePorts } from "../ip/index.ts";
import { parseDuration } from "../sandbox/index.ts";
import type { ContainerConfig, Healthcheck } from "../image/index.ts";
import { findBase, type Base } from "./base.ts";
import { recordOf } from "./find.ts";
import { portsIn } from "./exposed-ports.ts";
import type { Home } from "./home.ts";
import { hostConfigOf, networkModeOf } from "./host-config.ts";
import { LAYER, LOG } from "./layout.ts";
import { mountPointsOf } from "./mount-points.ts";
import { networksOf } from "./network-options.ts";
import { endpointsOf, type Place } from "./networks.ts";
import type { ContainerNetwork, ContainerOptions, HealthOptions } from "./options.ts";
import { exposedIn, hostEnds } from "./port-texts.ts";
import type { ContainerRecord, HealthRecord } from "./record.ts";
import { toldStatus } from "./told-status.ts";
import { writtenBytes } from "./written.ts";

export type ContainerInspect = ReturnType<typeof inspectOf>;

export async function inspect(home: Home, id: string, options: { size?: boolean } = {}): Promise<ContainerInspect> {
  checkOptions("inspect", options, { size: "flag" });
  const record = recordOf(home, id);
  return inspectOf(
    home,
    record,
    findBase(home, record),
    options.size ? writtenBytes(home, id) : undefined,
    endpointsOf(home, id),
  );
}

const NEVER = "0001-01-01T00:00:00Z";
const timeOf = (ms: number | undefined): string => (ms === undefined ? NEVER : new Date(ms).toISOString());

/** @param written bytes over the image, where they were counted */
export function inspectOf(
  home: Pick<Home, "root" | "path">,
  record: ContainerRecord,
  base: Base | undefined,
  written: number | undefined,
  places: readonly Place[] = [],
) {
  const directory = home.path(record.id);
  const [path = "", ...args] = record.command;
  return {
    Id: record.id,
    Created: timeOf(record.created),
    Path: path,
    Args: args,
    State: stateOf(record),
    Image: record.image?.id ?? "",
    ResolvConfPath: `${directory}/resolv.conf`,
    HostnamePath: `${directory}/hostname`,
    HostsPath: `${directory}/hosts`,
    LogPath: record.options.log?.driver === "none" ? "" : `${directory}/${LOG}`,
    Name: `/${record.name}`,
    RestartCount: record.restarts,
    Driver: "overlay2",
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: null,
    HostConfig: hostConfigOf(record),
    GraphDriver: {
      Name: "overlay2",
      Data: {
        LowerDir: (base?.layers ?? []).join(":"),
        UpperDir: `${directory}/${LAYER}/upper`,
        WorkDir: `${directory}/${LAYER}/work`,
      },
    },
    ...(written === undefined ? {} : { SizeRw: written, SizeRootFs: written + (base?.bytes ?? 0) }),
    Mounts: mountPointsOf(home, record),
    Config: configOf(record, base?.config.config ?? {}),
    NetworkSettings: networkSettingsOf(record, places),
  };
}

function stateOf(record: ContainerRecord) {
  const status = toldStatus(record);
  const isPaused = status === "paused";
  const isRestarting = status === "restarting";
  return {
    Status: status,
    Running: status === "running" || isPaused || isRestarting,
    Paused: isPaused,
    Restarting: isRestarting,
    OOMKilled: record.oomKilled ?? false,
    Dead: status === "dead",
    Pid: status === "running" || isPaused ? record.pid : 0,
    ExitCode: record.exitCode ?? 0,
    Error: record.error ?? "",
    StartedAt: timeOf(record.startedAt),
    FinishedAt: timeOf(record.finishedAt),
    ...(record.health ? { Health: healthOf(record.health) } : {}),
  };
}

const healthOf = ({ status, failingStreak, log }: HealthRecord) => ({
  Status: status,
  FailingStreak: failingStreak,
  Log: log.map(({ start, end, exitCode, output }) => ({
    Start: timeOf(start),
    End: timeOf(end),
    ExitCode: exitCode,
    Output: output,
  })),
});

/** What the image says, and what was asked for instead. */
export function configOf({ options, hostname, image }: ContainerRecord, config: ContainerConfig) {
  const attached = (stream: "stdin" | "stdout" | "stderr") => options.attach?.includes(stream) ?? false;
  const { entrypoint, command, openStdin = false } = options;
  const isOverridden = entrypoint !== undefined;
  const volumes = { ...config.Volumes, ...anonymousVolumes(options) };
  const health = healthcheckOf(options.health, config.Healthcheck);
  return {
    Hostname: hostname,
    Domainname: options.domainname ?? "",
    User: options.user ?? config.User ?? "",
    AttachStdin: attached("stdin"),
    AttachStdout: attached("stdout"),
    AttachStderr: attached("stderr"),
    ...configuredPorts(options, config),
    Tty: options.terminal !== undefined && options.terminal !== false,
    OpenStdin: openStdin !== false,
    StdinOnce: openStdin === "once",
    Env: environmentOf(options.env, config.Env ?? []),
    Cmd: command && command.length > 0 ? command : isOverridden ? null : (config.Cmd ?? null),
    ...(health ? { Healthcheck: health } : {}),
    Image: image?.reference ?? "",
    Volumes: Object.keys(volumes).length > 0 ? volumes : null,
    WorkingDir: options.cwd ?? config.WorkingDir ?? "",
    Entrypoint: isOverridden ? [entrypoint].flat().filter((word) => word !== "") : (config.Entrypoint ?? null),
    OnBuild: null,
    Labels: { ...config.Labels, ...options.labels },
    StopSignal: options.stopSignal ?? config.StopSignal ?? "SIGTERM",
    ...stopTimeoutOf(options),
  };
}

/** Of `-v /data`. */
const anonymousVolumes = ({ volumes = [] }: ContainerOptions): Record<string, object> =>
  Object.fromEntries(volumes.filter((text) => text.startsWith("/") && !text.includes(":")).map((text) => [text, {}]));

/** What is published is exposed as well. */
function configuredPorts({ expose = [], ports = [] }: ContainerOptions, { ExposedPorts = {} }: ContainerConfig) {
  const exposed = expose
    .map(parseExposed)
    .flatMap((range) => portsIn(range).map((port) => `${port}/${range.protocol}`));
  const published = ports.flatMap(parsePorts).map(({ containerPort, protocol }) => `${containerPort}/${protocol}`);
  const all = { ...ExposedPorts, ...Object.fromEntries([...exposed, ...published].map((name) => [name, {}])) };
  return Object.keys(all).length > 0 ? { ExposedPorts: all } : undefined;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What was asked for stands first. */
export function environmentOf(asked: ContainerOptions["env"] = {}, ofImage: readonly string[]): string[] {
  const nameOf = (word: string) => word.split("=", 1)[0] as string;
  const own = Object.entries(asked).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const rest = ofImage.filter((word) => !Object.hasOwn(asked, nameOf(word)));
  const all = [...own, ...rest];
  const hasPath = Object.hasOwn(asked, "PATH") || all.some((word) => nameOf(word) === "PATH");
  return hasPath ? all : [...all, PATH];
}

function stopTimeoutOf({ stopTimeout }: ContainerOptions): { StopTimeout?: number } {
  if (stopTimeout === undefined) return {};
  if (typeof stopTimeout === "number" && stopTimeout <= 0) return { StopTimeout: Math.sign(stopTimeout) };
  return { StopTimeout: Math.ceil(parseDuration("use the stop timeout", stopTimeout) / 1000) };
}

const NS = 1e6;

/** The image's, but for what was asked for; as Docker has it: nanoseconds. */
export function healthcheckOf(
  asked: HealthOptions | undefined,
  ofImage: Healthcheck | undefined,
): Healthcheck | undefined {
  if (!asked) return ofImage;
  const { test, retries } = asked;
  const ns = (duration: HealthOptions["interval"]) =>
    duration === undefined ? undefined : duration === 0 ? 0 : parseDuration("use the time", duration) * NS;
  const own = {
    Test: test === undefined ? undefined : typeof test === "string" ? ["CMD-SHELL", test] : test,
    Interval: ns(asked.interval),
    Timeout: ns(asked.timeout),
    StartPeriod: ns(asked.startPeriod),
    StartInterval: ns(asked.startInterval),
    Retries: retries,
  };
  return {
    ...ofImage,
    ...(Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) as Healthcheck),
  };
}

function networkSettingsOf({ options, pid, status }: ContainerRecord, places: readonly Place[]) {
  const mode = networkModeOf(options);
  const isUp = status === "running" || status === "paused";
  const wanted = networksOf(options);
  const named = places.map((place): [string, ReturnType<typeof endpointOf>] => {
    const { name } = place.network;
    return [
      name,
      endpointOf(
        wanted.find((each) => each.name === name),
        place,
      ),
    ];
  });
  const absent = wanted.filter(({ name }) => !places.some(({ network }) => network.name === name));
  const isPlain = mode === "none" || mode === "host";
  return {
    Bridge: "",
    SandboxID: "",
    SandboxKey: isUp && mode !== "host" ? `/proc/${pid}/ns/net` : "",
    Ports: portsOf(places),
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    ...addressesOf(places[0]),
    Networks: Object.fromEntries([
      ...(isPlain ? [[mode, endpointOf()] as const] : []),
      ...named,
      ...absent.map((each) => [each.name, endpointOf(each)] as const),
    ]),
  };
}

interface PortBinding {
  HostIp: string;
  HostPort: string;
}

/** @param wanted what was asked for, which it keeps while it does not run */
function endpointOf({ addresses = [], aliases = [] }: Partial<ContainerNetwork> = {}, place?: Place) {
  const [four, six] = [false, true].map((isSix) => addresses.find((text) => text.includes(":") === isSix));
  return {
    IPAMConfig: addresses.length > 0 ? { ...(four && { IPv4Address: four }), ...(six && { IPv6Address: six }) } : null,
    Links: null,
    Aliases: aliases.length > 0 ? aliases : null,
    DriverOpts: null,
    NetworkID: place?.network.id ?? "",
    ...addressesOf(place),
    DNSNames: place ? [place.endpoint.name, ...place.endpoint.aliases] : null,
  };
}

function addressesOf(place?: Place) {
  const [four = "", six = ""] = [false, true].map((isSix) =>
    place?.endpoint.addresses.find((text) => text.includes(":") === isSix),
  );
  const gateway = (isSix: boolean) =>
    place?.network.subnets.find(({ subnet }) => subnet.includes(":") === isSix)?.gateway;
  const [address = "", prefix = "0"] = four.split("/");
  const [addressSix = "", prefixSix = "0"] = six.split("/");
  return {
    MacAddress: place?.endpoint.mac ?? "",
    EndpointID: place?.endpoint.device ?? "",
    Gateway: (four && gateway(false)) || "",
    IPAddress: address,
    IPPrefixLen: Number(prefix),
    IPv6Gateway: (six && gateway(true)) || "",
    GlobalIPv6Address: addressSix,
    GlobalIPv6PrefixLen: Number(prefixSix),
  };
}

/** Those that are exposed alone are `null`. */
function portsOf(places: readonly Place[]): Record<string, PortBinding[] | null> {
  const ports: Record<string, PortBinding[] | null> = {};
  for (const range of exposedIn(places.map(({ endpoint }) => endpoint)))
    for (const port of portsIn(range)) ports[`${port}/${range.protocol}`] = null;
  for (const { endpoint } of places) {
    for (const port of endpoint.ports) {
      const ends = hostEnds(endpoint, port).map(({ address }) => ({
        HostIp: address,
        HostPort: String(port.hostPort),
      }));
      const name = `${port.containerPort}/${port.protocol}`;
      ports[name] = [...(ports[name] ?? []), ...ends];
    }
  }
  return ports;
}
