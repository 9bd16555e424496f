/** A network that is about to be made: whether it can be, and what it then is. Nothing is made here. @module */
import { checkKeys, invalid, checkOptions, type Kind } from "../options/index.ts";
import { effectiveUid, show, TsboxError } from "../../syscalls/index.ts";
import { findAddress, formatSubnet, parseSubnet } from "../ip/index.ts";
import { checkDevice, IPVLAN_FLAGS, IPVLAN_MODES, type Ipvlan, type Route } from "../netlink/index.ts";
import { deviceFor } from "./default-network.ts";
import { checkSubnet, freeSubnet, uniqueSubnet, type WantedSubnet } from "./leases.ts";
import type { NetworkDriver, NetworkRecord } from "./record.ts";

export interface NetworkOptions {
  name: string;
  /**
   * `"bridge"` unless set; `"macvlan"`: every container has an address of its own at a device of the host; `"ipvlan"`: and
   * the MAC address of that device.
   */
  driver?: NetworkDriver;
  /** One of each family at most; default: one that is free, of version 4. */
  subnets?: WantedSubnet[];
  /** One of version 6 as well, where none is named. */
  ipv6?: boolean;
  /** Nothing leads out of it. */
  internal?: boolean;
  labels?: Record<string, string>;
  /**
   * `mtu`, `isolate` (`"false"`: other networks and machines reach all that its containers listen at), `icc` (`"false"`: its
   * containers do not reach each other), `bridge_name`,
   * `host_binding` (the address of this machine that ports are published at, where none is said);
   * `parent` of a macvlan or an ipvlan, `ipvlan_mode` and `ipvlan_flag`. Docker's longer names mean the same.
   */
  options?: Record<string, string>;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const DOCKERS: Record<string, string> = {
  "com.docker.network.driver.mtu": "mtu",
  "com.docker.network.bridge.name": "bridge_name",
  "com.docker.network.bridge.enable_icc": "icc",
  "com.docker.network.bridge.host_binding_ipv4": "host_binding",
};
/** Docker's, each with its values. @see https://docs.docker.com/engine/network/drivers/ipvlan/ */
const IPVLAN_OPTIONS: Record<string, readonly string[]> = {
  ipvlan_mode: Object.keys(IPVLAN_MODES),
  ipvlan_flag: Object.keys(IPVLAN_FLAGS),
};
const KNOWN: Record<keyof NetworkOptions, Kind> = {
  name: "text",
  driver: "any",
  subnets: "objects",
  ipv6: "flag",
  internal: "flag",
  labels: "words",
  options: "words",
};
/** Docker's, of which there is one value here. */
const ALWAYS: Record<string, string> = {
  "com.docker.network.bridge.enable_ip_masquerade": "what leaves a network has this machine's address",
};
const OPTIONS = [
  "mtu",
  "isolate",
  "icc",
  "parent",
  "bridge_name",
  "host_binding",
  ...Object.keys(ALWAYS),
  ...Object.keys(IPVLAN_OPTIONS),
];
const DRIVERS = ["bridge", "macvlan", "ipvlan"];

export interface Surroundings {
  /** All networks that there are. */
  others: readonly NetworkRecord[];
  /** Of this machine. */
  routes: readonly Route[];
  /** Of the one that is there without being made. */
  device?: string | undefined;
}

/** @throws TsboxError `invalid_option`, `limit_unavailable`, `permission_denied` */
export function newNetwork(options: NetworkOptions, { others, routes, device }: Surroundings): NetworkRecord {
  checkOptions("networks.create", options, KNOWN);
  const { name, driver = "bridge", internal = false, labels = {}, options: given = {} } = options;
  if (!NAME.test(name))
    throw invalid(`create the network ${show(name)}: invalid network name`, "letters, digits, _ . and -");
  if (!DRIVERS.includes(driver))
    throw invalid(
      `create the network ${show(name)}: could not find plugin ${typeof driver === "string" ? driver : show(driver)}`,
      DRIVERS.join(", "),
    );
  if (driver !== "bridge") checkRoot(driver);
  const asked = optionsOf(given, driver);
  for (const each of [asked["bridge_name"], asked["parent"]]) if (each !== undefined) checkDevice(each);
  const id = crypto.getRandomValues(new Uint8Array(32)).toHex();
  const record: NetworkRecord = {
    version: 1,
    id,
    name,
    created: Date.now(),
    driver,
    device: device ?? deviceOf(asked, driver, id),
    subnets: subnetsFor(options, others, driver === "bridge" ? routes : []),
    ipv6: options.ipv6 === true,
    internal,
    isolated: asked["isolate"] !== "false",
    ...(asked["icc"] === "false" ? { apart: true as const } : {}),
    ...(driver === "ipvlan" ? { ipvlan: ipvlanOf(asked) } : {}),
    ...(asked["mtu"] === undefined ? {} : { mtu: Number(asked["mtu"]) }),
    ...(asked["host_binding"] === undefined ? {} : { hostBinding: asked["host_binding"] }),
    labels,
    options: given,
    endpoints: {},
    last: {},
  };
  const sameDevice = others.find((other) => driver === "bridge" && other.device === record.device);
  if (sameDevice)
    throw invalid(`create the network ${show(name)}: the bridge ${record.device} is that of ${sameDevice.name}`);
  const sameParent = others.find((other) => isShared(record, other) && (isIpvlan(record) || isIpvlan(other)));
  if (sameParent)
    throw invalid(
      `create the network ${show(name)}: network ${sameParent.name} is already using parent interface ${record.device}`,
      "a device of the machine has one mode of ipvlan, and no macvlans besides",
    );
  return record;
}

/** Checked by now. */
const ipvlanOf = ({ ipvlan_mode = "l2", ipvlan_flag = "bridge" }: Record<string, string>) =>
  ({ mode: ipvlan_mode, flag: ipvlan_flag }) as Ipvlan;

const isIpvlan = ({ driver }: NetworkRecord): boolean => driver === "ipvlan";
const isShared = (a: NetworkRecord, b: NetworkRecord): boolean =>
  a.driver !== "bridge" && b.driver !== "bridge" && a.device === b.device;

function subnetsFor(
  { name, subnets = [], ipv6 }: NetworkOptions,
  networks: readonly NetworkRecord[],
  routes: readonly Route[],
): NetworkRecord["subnets"] {
  const taken = networks.flatMap((network) =>
    network.subnets.map(({ subnet }) => ({ subnet: parseSubnet(subnet), owner: `network ${network.name}` })),
  );
  // a user's are in a place of their own
  const own = effectiveUid() === 0 ? routes.filter(({ isDirect }) => isDirect) : [];
  const others = [...taken, ...own.map((subnet) => ({ subnet, owner: `this machine's ${formatSubnet(subnet)}` }))];
  const made = subnets.map((wanted) => checkSubnet(wanted, others));
  const families = made.map(({ subnet }) => parseSubnet(subnet).family);
  if (new Set(families).size < families.length)
    throw invalid(
      `create the network ${show(name)}: more than one subnet of a family`,
      "one of version 4, and one of version 6",
    );
  if (!families.includes(4) && subnets.length === 0)
    made.unshift(freeSubnet([...routes, ...taken.map(({ subnet }) => subnet)]));
  if (ipv6 && !families.includes(6)) made.push(uniqueSubnet(crypto.getRandomValues(new Uint8Array(5))));
  return made;
}

function checkRoot(driver: string): void {
  if (effectiveUid() === 0) return;
  throw new TsboxError(`make a network of the driver ${driver}: only root may`, {
    code: "permission_denied",
    hint: "-d bridge",
  });
}

function optionsOf(given: Record<string, string>, driver: NetworkDriver): Record<string, string> {
  const named = Object.fromEntries(Object.entries(given).map(([name, value]) => [DOCKERS[name] ?? name, value]));
  checkKeys("network option", named, OPTIONS);
  for (const [name, value] of Object.entries(named)) {
    if (name === "mtu" && !(/^\d+$/.test(value) && Number(value) >= 68 && Number(value) <= 65535))
      throw invalid(`use the MTU ${show(value)}: not a number from 68 to 65535`);
    if ((name === "isolate" || name === "icc") && value !== "true" && value !== "false")
      throw invalid(`use ${name}=${value}: not understood`, "true or false");
    if (name === "icc" && value === "false" && driver !== "bridge")
      throw invalid(`use icc=false: not supported, containers of a network of the driver ${driver} reach each other`);
    if (name === "host_binding" && findAddress(value)?.family !== 4)
      throw invalid(`use host_binding=${value}: no address of version 4`);
    const always = ALWAYS[name];
    if (always !== undefined && value !== "true") throw invalid(`use ${name}=${value}: not supported, ${always}`);
    const values = IPVLAN_OPTIONS[name];
    if (values && driver !== "ipvlan") throw invalid(`use ${name}=${value}: it is an option of ipvlan networks`);
    if (values && !values.includes(value)) throw invalid(`use ${name}=${value}: not understood`, values.join(", "));
  }
  return named;
}

function deviceOf(options: Record<string, string>, driver: NetworkRecord["driver"], id: string): string {
  if (driver === "bridge") return options["bridge_name"] ?? deviceFor(id);
  if (options["parent"] !== undefined) return options["parent"];
  throw invalid(
    `make a network of the driver ${driver}: no parent is named`,
    "-o parent=eth0: a network device of the host",
  );
}
