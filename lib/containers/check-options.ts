/** What callers ask of a container, checked before anything is made. @module */
import { checkArray, checkChoice, checkInteger, checkKeys, checkObject, checkText, invalid } from "../options/index.ts";
import { absolute, show, signalNumber } from "../../syscalls/index.ts";
import { bandwidthOf, parseDuration, parseSize } from "../sandbox/index.ts";
import { isMac, parseExposed, parsePorts } from "../ip/index.ts";
import { checkEtcFiles } from "./etc-files.ts";
import { checkName } from "./names.ts";
import { compilePolicy, type NetworkPolicy } from "../policy/index.ts";
import { checkAliases, isNetworked, networkPolicyOf, networksOf, publishes } from "./network-options.ts";
import type { ContainerNetwork, ContainerOptions } from "./options.ts";
import { policyOf } from "./restart-policy.ts";

/** Those of a sandbox are looked at again when it starts; `Record`, so that none is forgotten. */
const KNOWN: Record<keyof ContainerOptions, true> = {
  addHosts: true,
  annotations: true,
  attach: true,
  cgroupParent: true,
  command: true,
  cpuAffinity: true,
  cwd: true,
  devices: true,
  dns: true,
  dnsOptions: true,
  dnsSearch: true,
  domainname: true,
  entrypoint: true,
  env: true,
  expose: true,
  gidMappings: true,
  groups: true,
  health: true,
  hostname: true,
  image: true,
  ioPriority: true,
  labels: true,
  limits: true,
  log: true,
  mounts: true,
  name: true,
  namespaces: true,
  network: true,
  networks: true,
  oomScoreAdj: true,
  openStdin: true,
  personality: true,
  ports: true,
  publishAll: true,
  remove: true,
  restart: true,
  rootfs: true,
  runtime: true,
  scheduler: true,
  security: true,
  shmSize: true,
  stopSignal: true,
  stopTimeout: true,
  sysctls: true,
  terminal: true,
  timeOffsets: true,
  uidMappings: true,
  ulimits: true,
  umask: true,
  user: true,
  volumes: true,
  volumesFrom: true,
};

/**
 * @returns what is kept of them
 * @throws TsboxError `invalid_option`
 */
export function checkContainerOptions(options: ContainerOptions): ContainerOptions {
  checkObject("options", options);
  checkKeys("container option", options, Object.keys(KNOWN));
  const { name, command, entrypoint, labels, annotations, restart, remove, openStdin, stopSignal } = options;
  checkLasting("", options);
  if (name !== undefined) checkName(name);
  if (command !== undefined) checkTexts("command", command);
  if (Array.isArray(entrypoint)) checkTexts("entry point", entrypoint);
  checkWords("label", labels);
  checkWords("annotation", annotations);
  checkChoice<unknown>("remove", remove, false, true);
  checkChoice<unknown>("openStdin", openStdin, false, true, "once");
  const policy = policyOf(restart);
  if (remove && policy.name !== "no")
    throw invalid("conflicting options: cannot specify both --restart and --rm", "leave one of them out");
  if (stopSignal !== undefined)
    signalNumber(/^\d+$/.test(checkText("stop signal", stopSignal)) ? Number(stopSignal) : stopSignal);
  checkStopTimeout(options.stopTimeout);
  checkHealth(options.health);
  checkLog(options.log);
  checkLimits(options);
  for (const key of [
    "addHosts",
    "dns",
    "dnsSearch",
    "dnsOptions",
    "expose",
    "volumes",
    "volumesFrom",
    "ports",
  ] as const)
    if (options[key] !== undefined) checkTexts(key, options[key]);
  if (options.mounts !== undefined) checkArray("mounts", options.mounts);
  checkNetworks(options);
  checkEtcFiles(options);
  for (const each of options.attach === undefined ? [] : checkArray("attach", options.attach))
    checkChoice<unknown>("stream", each ?? null, "stdin", "stdout", "stderr");
  return {
    ...options,
    ...(name === undefined ? {} : { name: checkName(name) }),
    ...(options.rootfs === undefined || options.rootfs === "host"
      ? {}
      : { rootfs: absolute(checkText("rootfs", options.rootfs)) }),
  };
}

function checkNetworks(options: ContainerOptions): void {
  checkChoice<unknown>("publishAll", options.publishAll, false, true);
  for (const text of options.ports ?? []) parsePorts(text);
  for (const text of options.expose ?? []) parseExposed(text);
  if (publishes(options) && networksOf(options).length === 0)
    throw invalid("conflicting options: port publishing and the network mode", "a network: --network bridge");
  if (Array.isArray(options.network))
    throw invalid(`use the network ${show(options.network)} of a container: not a list`, "networks");
  if (networkPolicyOf(options)) {
    checkPolicy(options.network);
    if (options.dns !== undefined)
      throw invalid("conflicting options: dns and a network policy", "whatever server is asked, tsbox answers");
  }
  if (options.networks === undefined) return;
  if (options.network !== undefined)
    throw invalid("use network and networks: they say the same", "leave one of them out");
  for (const each of checkArray("networks", options.networks)) {
    checkKeys("option of a network", each as object, ["name", "addresses", "mac", "aliases"]);
    const { name, addresses, mac, aliases } = each as ContainerNetwork;
    checkText("name of a network", name);
    if (addresses !== undefined) checkTexts("addresses", addresses);
    if (aliases !== undefined) checkTexts("aliases", aliases);
    checkAliases(each as ContainerNetwork);
    if (mac !== undefined && !isMac(checkText("MAC address", mac)))
      throw invalid(`use the MAC address ${show(mac)}: not that of one device`, '"02:42:ac:11:00:02"');
  }
}

/** @throws TsboxError `invalid_option` */
export function checkPolicy(policy: unknown): void {
  compilePolicy(policy as NetworkPolicy);
  const live = (["connect", "hosts"] as const).find((key) => (policy as NetworkPolicy)[key] !== undefined);
  if (live !== undefined)
    throw invalid(
      `use ${live} in the policy of a container: it lasts longer than the functions of this program`,
      "allow and deny; a sandbox has functions: Sandbox.create",
    );
}

/** What a container is asked for lasts longer than this program, and so is nothing that lives in it. */
function checkLasting(where: string, value: unknown): void {
  if (value === undefined || value === null || ["string", "number", "boolean"].includes(typeof value)) return;
  const isPlain =
    typeof value === "object" &&
    (Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null));
  if (!isPlain) {
    throw invalid(
      `use the container option "${where}" ${show(value)}: a container lasts longer than what is in this program`,
      "numbers, strings, arrays and objects of them",
    );
  }
  for (const [key, each] of Object.entries(value)) checkLasting(where === "" ? key : `${where}.${key}`, each);
}

const checkTexts = (what: string, value: unknown): void =>
  checkArray(what, value).forEach((each) => void checkText(what, each));

function checkWords(what: string, words: unknown): void {
  if (words === undefined) return;
  checkObject(`${what}s`, words, 'names and values: { tier: "web" }');
  for (const [name, value] of Object.entries(words as object)) {
    if (name === "") throw invalid(`use the ${what} "": it has no name`);
    checkText(`${what} ${show(name)}`, value);
  }
}

function checkStopTimeout(timeout: ContainerOptions["stopTimeout"]): void {
  const isPlain = typeof timeout === "number" && timeout <= 0 && Number.isFinite(timeout);
  if (timeout !== undefined && !isPlain) parseDuration("stop timeout", timeout);
}

function checkHealth(health: ContainerOptions["health"]): void {
  if (health === undefined) return;
  checkKeys("health option", health, ["test", "interval", "timeout", "retries", "startPeriod", "startInterval"]);
  const { test, retries } = health;
  if (typeof test === "string") checkText("health test", test);
  else if (test !== undefined) checkTexts("health test", test);
  for (const key of ["interval", "timeout", "startPeriod", "startInterval"] as const) {
    const value = health[key];
    // Docker's: as if nothing was said
    if (value !== undefined && !/^0(ms|[smh])?$/.test(String(value))) parseDuration(`health ${key}`, value);
  }
  if (retries !== undefined) checkInteger("health retries", retries, 0, 2 ** 31 - 1);
}

function checkLog(log: ContainerOptions["log"]): void {
  if (log === undefined) return;
  checkKeys("log option", log, ["driver", "maxSize", "maxFiles", "labels", "env"]);
  checkChoice<unknown>("log driver", log.driver, "local", "json-file", "none");
  if (log.maxSize !== undefined && parseSize("log maxSize", log.maxSize) === 0)
    throw invalid(`use the log maxSize ${show(log.maxSize)}: nothing fits`);
  if (log.maxFiles !== undefined) checkInteger("log maxFiles", log.maxFiles, 1, 1000);
  for (const key of ["labels", "env"] as const) if (log[key] !== undefined) checkTexts(`log ${key}`, log[key]);
}

function checkLimits(options: ContainerOptions): void {
  const { limits } = options;
  if (limits === undefined) return;
  checkObject("limits", limits);
  if (bandwidthOf(limits) && !isNetworked(options))
    throw invalid("limit the bandwidth: the container is in no network of its own", "--network bridge");
  if (limits.time !== undefined) parseDuration("use the time limit", limits.time);
  if (limits.output !== undefined) parseSize("use the output limit", limits.output);
  if (limits.traffic !== undefined) {
    parseSize("use the limit of traffic", limits.traffic);
    if (!networkPolicyOf(options))
      throw invalid(
        "limit the traffic: the container has no network policy",
        '--allow "*" lets out what goes anywhere',
      );
  }
  if (limits.cpuTime === undefined) return;
  throw invalid(
    'use the limit "cpuTime" of a container: nobody is there all the time to count',
    "it is one of sandboxes: Sandbox.run",
  );
}
