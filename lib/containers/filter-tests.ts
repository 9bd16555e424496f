/**
 * Which containers a filter means, by Docker's rules: of one name's values one has to fit, of labels all.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/ls/#filter
 */
import { TsboxError } from "../../syscalls/index.ts";
import { hexOf, parseReference, formatReference, withDefaultTag, type ImageConfig } from "../image/index.ts";
import { Store, type StoredImage } from "../store/index.ts";
import { parseExposed, parsePorts, type PortRange } from "../ip/index.ts";
import { exposedPorts } from "./exposed-ports.ts";
import type { ContainerFilters } from "./filter.ts";
import { find } from "./find.ts";
import type { Home } from "./home.ts";
import { networkModeOf } from "./host-config.ts";
import { imageConfigOf } from "./image-config.ts";
import { findQuietly } from "./image-names.ts";
import { networksOf } from "./network-options.ts";
import type { NetworkRecord } from "../network/index.ts";
import { labelFits } from "../state/index.ts";
import type { ContainerRecord, ContainerStatus } from "./record.ts";
import { toldStatus } from "./told-status.ts";

export type Test = (record: ContainerRecord) => boolean;
type TestFor = (value: string, home: Home) => Test;

const invalid = (name: string, value: string, hint: string) =>
  new TsboxError(`invalid filter '${name}=${value}'`, { code: "invalid_option", hint });

/** A regular expression, anywhere in it, or the same text. */
export function matcherOf(pattern: string): (text: string) => boolean {
  try {
    const expression = new RegExp(pattern);
    return (text) => text === pattern || expression.test(text);
  } catch {
    return (text) => text === pattern;
  }
}

const STATUSES = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTH = ["none", "starting", "healthy", "unhealthy"];
const RUNNING: readonly ContainerStatus[] = ["running", "paused", "restarting", "starting"];

const TESTS: Record<string, TestFor> = {
  id: (value) => {
    const matches = matcherOf(value);
    return ({ id }) => matches(id);
  },
  name: (value) => {
    const matches = matcherOf(value);
    return ({ name }) => matches(name) || matches(`/${name}`);
  },
  label: (value) => (record) => hasLabel(record, value),
  "label!": (value) => (record) => !hasLabel(record, value),
  exited: (value) => {
    if (!/^-?\d+$/.test(value)) throw invalid("exited", value, "an exit code");
    return ({ status, exitCode, startedAt }) =>
      !RUNNING.includes(status) && startedAt !== undefined && exitCode === Number(value);
  },
  status: (value) => {
    if (!STATUSES.includes(value)) throw invalid("status", value, STATUSES.join(", "));
    return (record) => toldStatus(record) === value;
  },
  health: (value) => {
    if (!HEALTH.includes(value)) throw invalid("health", value, HEALTH.join(", "));
    return ({ health }) => (health?.status ?? "none") === value;
  },
  before: (value, home) => {
    const { created, id } = find(home, value);
    return (record) => record.created < created && record.id !== id;
  },
  since: (value, home) => {
    const { created, id } = find(home, value);
    return (record) => record.created > created && record.id !== id;
  },
  volume: (value) => (record) =>
    record.volumes.some(({ name, target }) => name === value || target === value) ||
    (record.mounts ?? []).some((mount) => mount.target === value || ("source" in mount && mount.source === value)),
  network: (value, home) => {
    const isId = /^[0-9a-f]+$/.test(value);
    const ofId = isId ? home.state.networks.list<NetworkRecord>().filter(({ id }) => id.startsWith(value)) : [];
    const wanted = [value, ...ofId.map(({ name }) => name)];
    return ({ options }) => {
      const named = networksOf(options).map(({ name }) => name);
      return (named.length > 0 ? named : [networkModeOf(options)]).some((name) => wanted.includes(name));
    };
  },
  // the container's own ports, whatever they are at the host
  publish: (value, home) => {
    const range = rangeOf("publish", value);
    return (record) => isIn(published(home, record), range);
  },
  expose: (value, home) => {
    const range = rangeOf("expose", value);
    return (record) => isIn(exposed(home, record), range);
  },
  ancestor: (value, home) => ancestorTest(home, value),
  isolation: (value) => () => value === "" || value === "default",
  // those of a swarm, which there is none of
  "is-task": (value) => {
    if (!/^(1|0|t|f|true|false)$/i.test(value)) throw invalid("is-task", value, "true or false");
    return () => /^(0|f|false)$/i.test(value);
  },
};
const TOGETHER = ["label", "label!"];

/** @throws TsboxError `invalid_option`, `container_not_found` */
export function testOf(home: Home, filters: ContainerFilters, known = Object.keys(TESTS)): Test {
  const tests = Object.entries(filters).map(([name, values]): Test => {
    const test = known.includes(name) ? TESTS[name] : undefined;
    if (!test) {
      throw new TsboxError(`invalid filter '${name}'`, {
        code: "invalid_option",
        hint: `there are ${known.join(", ")}`,
      });
    }
    const made = values.map((value) => test(value, home));
    if (made.length === 0) return () => true;
    return TOGETHER.includes(name)
      ? (record) => made.every((fits) => fits(record))
      : (record) => made.some((fits) => fits(record));
  });
  return (record) => tests.every((fits) => fits(record));
}

function hasLabel({ options: { labels = {} } }: ContainerRecord, wanted: string): boolean {
  return labelFits(labels, wanted);
}

/** `80`, `80/udp`, `8000-8010/tcp` */
function rangeOf(name: string, text: string): PortRange {
  try {
    return parseExposed(text);
  } catch {
    throw invalid(name, text, "80, 80/udp, 8000-8010/tcp");
  }
}

const isIn = (ranges: readonly PortRange[], { protocol, first, last }: PortRange) =>
  ranges.some((range) => range.protocol === protocol && range.first <= last && range.last >= first);

function published(home: Home, record: ContainerRecord): PortRange[] {
  const { ports = [], publishAll = false } = record.options;
  const named = ports
    .flatMap(parsePorts)
    .map(({ containerPort, protocol }) => ({ protocol, first: containerPort, last: containerPort }));
  return publishAll ? [...named, ...exposedOnly(home, record)] : named;
}

/** What is published as well. */
const exposed = (home: Home, record: ContainerRecord): PortRange[] => [
  ...exposedOnly(home, record),
  ...published(home, record),
];

const exposedOnly = (home: Home, record: ContainerRecord): PortRange[] =>
  exposedPorts(record.options, imageConfigOf(home, record));

/** Of an image: by a name, an id, or a digest; or of one that was made of it, whose layers begin with those of it. */
function ancestorTest(home: Home, wanted: string): Test {
  let images: { ancestor: StoredImage | undefined; byId: Map<string, StoredImage> } | undefined;
  const load = () => {
    using store = Store.open({ root: home.root, readOnly: true });
    return { ancestor: findQuietly(store, wanted), byId: new Map(store.images().map((image) => [image.id, image])) };
  };
  const name = wholeName(wanted);
  return ({ image }) => {
    if (!image) return false;
    const { ancestor, byId } = (images ??= load());
    // by what it was called, where that is gone
    if (!ancestor)
      return (
        image.reference === wanted ||
        (name !== undefined && wholeName(image.reference) === name) ||
        (/^[0-9a-f]+$/.test(wanted) && hexOf(image.id).startsWith(wanted))
      );
    if (ancestor.id === image.id) return true;
    const own = byId.get(image.id);
    return own !== undefined && isAbove(diffIdsOf(own.config), diffIdsOf(ancestor.config));
  };
}

const diffIdsOf = ({ rootfs }: ImageConfig): readonly string[] => rootfs.diff_ids;

const isAbove = (layers: readonly string[], below: readonly string[]): boolean =>
  below.length > 0 && layers.length > below.length && below.every((layer, index) => layers[index] === layer);

function wholeName(text: string): string | undefined {
  try {
    return formatReference(withDefaultTag(parseReference(text)));
  } catch {
    return undefined;
  }
}
