/** What a container is, as a sandbox is asked for. @module */
import { TsboxError, type RunOptions } from "../sandbox/index.ts";
import type { Home } from "./home.ts";
import { LAYER } from "./layout.ts";
import { plainNamespaces } from "./network.ts";
import { isNetworked } from "./network-options.ts";
import type { ContainerOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

/** What no sandbox knows. */
const OWN = [
  "name",
  "command",
  "volumes",
  "volumesFrom",
  "labels",
  "annotations",
  "restart",
  "health",
  "remove",
  "openStdin",
  "stopSignal",
  "stopTimeout",
  "log",
  "addHosts",
  "dns",
  "dnsSearch",
  "dnsOptions",
  "attach",
  "networks",
  "ports",
  "publishAll",
  "expose",
] as const satisfies (keyof ContainerOptions)[];

type Mounts = NonNullable<RunOptions["mounts"]>;

export interface Asked {
  mounts: Mounts;
  /** In place of `container:NAME`. */
  network?: RunOptions["network"];
  /** In place of those that were asked for. */
  namespaces?: RunOptions["namespaces"];
}

/** @throws TsboxError `unsupported` */
export function requestOf(home: Home, record: ContainerRecord, { mounts, network, namespaces }: Asked): RunOptions {
  const { image, ...asked } = record.options;
  const options: Partial<ContainerOptions> = { ...asked };
  for (const name of OWN) delete options[name];
  const {
    mounts: _,
    network: named,
    entrypoint: __,
    namespaces: own,
    ...request
  } = options as Omit<ContainerOptions, (typeof OWN)[number]>;
  checkLimits(request.limits);
  // its networks keep the first, netd the second, its supervisor the others
  const { bandwidth: ___, traffic: ____, time: _____, output: ______, ...limits } = request.limits ?? {};
  const isAlone = named === "none" || isNetworked(record.options);
  const wanted = network ?? (isAlone ? false : (named as RunOptions["network"]));
  return {
    ...request,
    ...(request.limits && { limits }),
    ...(wanted !== undefined && { network: wanted }),
    ...((namespaces ?? own) && { namespaces: namespaces ?? plainNamespaces(own) }),
    ...(mounts.length > 0 && { mounts }),
    ...((own?.uts ?? "private") === "private" && { hostname: record.hostname }),
    ...(record.image && { image: imageOf(home, record.image.id, image), entrypoint: [] }),
    ...(hasLayer(record.options) && { writableLayer: `${home.path(record.id)}/${LAYER}` }),
  };
}

/** What its owner would have to keep: it has none. */
function checkLimits(limits: RunOptions["limits"]): void {
  if (limits?.cpuTime === undefined) return;
  throw new TsboxError("use limits.cpuTime of a container that lasts: nobody would keep it", {
    code: "unsupported",
    hint: "a sandbox has it: Sandbox.run",
  });
}

function imageOf(home: Home, reference: string, asked: ContainerOptions["image"]): RunOptions["image"] {
  const platform = typeof asked === "object" ? asked.platform : undefined;
  return { reference, root: home.root, ...(platform !== undefined && { platform }) };
}

/** Whether what it writes is kept in its directory, rather than in memory until it ends. */
export function hasLayer({ image, rootfs = "host", security, limits }: ContainerOptions): boolean {
  return (image !== undefined || rootfs !== "host") && security?.readOnly !== true && limits?.disk === undefined;
}
