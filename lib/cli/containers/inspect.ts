/** `tsbox inspect`: all that is known of containers, images, networks and volumes. @module */
import type { Containers } from "../../containers/index.ts";
import type { Images } from "../../images/index.ts";
import type { Networks } from "../../network/index.ts";
import { TsboxError } from "../../sandbox/index.ts";
import type { Volumes } from "../../volumes/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { inspected } from "../images/inspected.ts";
import { safely } from "../images/with-images.ts";
import { invalid } from "../invalid.ts";
import { inspectedNetwork } from "../networks/with-networks.ts";
import { inspectedVolume } from "../volumes/with-volumes.ts";
import { INSPECT_FORMAT, printInspected } from "../print-inspected.ts";
import { inspectedContainer } from "./inspected-container.ts";

interface InspectFlags {
  format?: string;
  size?: boolean;
  type?: string;
}

/** In the order in which they are looked for: Docker's. */
const TYPES = ["container", "image", "network", "volume"] as const;
type Type = (typeof TYPES)[number];

const SIZE_FLAG: [string, string] = ["-s, --size", "Of containers, what they have written as well"];

/** Of any kind. */
export const addInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print what is known of containers, images, networks, volumes",
      usage: "[FLAGS] NAME|ID [NAME|ID...]",
      words: ["<NAME>", "[NAME...]"],
      flags: [INSPECT_FORMAT, SIZE_FLAG, ["--type <container|image|network|volume>", "Only of this kind"]],
    },
    (first: string, more: string[], flags: InspectFlags) => {
      const { type } = flags;
      if (type !== undefined && !TYPES.includes(type as Type))
        throw invalid("--type", type, "there is nothing of this kind", TYPES.join(", "));
      return inspect([first, ...more], flags, type === undefined ? TYPES : [type as Type]);
    },
  );

export const addContainerInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print all that is known of containers",
      usage: "[FLAGS] CONTAINER [CONTAINER...]",
      words: ["<CONTAINER>", "[CONTAINER...]"],
      flags: [INSPECT_FORMAT, SIZE_FLAG],
    },
    (first: string, more: string[], flags: InspectFlags) => inspect([first, ...more], flags, ["container"]),
  );

interface Engine {
  containers: Containers;
  images: Images;
  networks: Networks;
  volumes: Volumes;
}

function inspect(
  names: readonly string[],
  { format, size = false }: InspectFlags,
  types: readonly Type[],
): Promise<void> {
  return safely(async () => {
    const { Tsbox } = await import("../../engine/index.ts");
    using engine = new Tsbox();
    return await printInspected(names, format, (name) => find(engine, name, types, size));
  });
}

const MISSING = new Set([...TYPES.map((type) => `${type}_not_found`), "reference_invalid"]);

/** The first kind that has one of this name. */
async function find(engine: Engine, name: string, types: readonly Type[], size: boolean): Promise<object> {
  for (const type of types) {
    try {
      return await FIND[type](engine, name, size);
    } catch (error) {
      const { code = "" } = error as { code?: string };
      if (!MISSING.has(code) || types.length === 1) throw error;
    }
  }
  throw new TsboxError(`No such object: ${name}`, { code: "container_not_found" });
}

const FIND: Record<Type, (engine: Engine, name: string, size: boolean) => Promise<object>> = {
  container: async ({ containers }, name, size) =>
    inspectedContainer(await (await containers.get(name)).inspect({ size })),
  image: async ({ images }, name) => inspected(await images.inspect(name)),
  network: async ({ networks }, name) => inspectedNetwork(await networks.named(name)),
  volume: async ({ volumes }, name) => inspectedVolume(volumes, volumes.get(name)),
};
