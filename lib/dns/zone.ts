/** The names of one network: who is called how, and who has which address. Pure. @module */
import { contains, addressOfBytes, type Subnet } from "../ip/index.ts";
import { CLASS_IN, RCODE, TYPE, type Answer, type Query, type Response } from "./message.ts";
import { addressOfReverse, encodeName, readName, reverseName } from "./name.ts";

export interface Host {
  /** What it is called; the first is its name, others may be those of several, and of all of them then. */
  names: readonly string[];
  /** 4 or 16 bytes. */
  addresses: readonly Uint8Array[];
}

interface Named {
  v4: Answer[];
  v6: Answer[];
  all: Answer[];
  /** Who comes first the next time. */
  turn: number;
}

/** Seconds: a container that is started again has another address. */
const TTL = 1;
const NOBODY: Response = { rcode: RCODE.NXDOMAIN, authoritative: true };
const NOTHING: Response = { rcode: RCODE.NOERROR, authoritative: true };

export class Zone {
  readonly #named = new Map<string, Named>();
  readonly #reverse = new Map<string, Answer[]>();
  readonly #subnets: readonly Subnet[];

  /** @param name of the network: hosts are called `HOST.NETWORK` as well */
  constructor(name: string, subnets: readonly Subnet[], hosts: Iterable<Host>) {
    this.#subnets = subnets;
    for (const { names, addresses } of hosts) {
      const own = new Set([...names, ...names.map((each) => `${each}.${name}`)].flatMap(plainName));
      for (const each of own) for (const data of addresses) this.#add(each, data);
      const full = encodeName(`${names[0]}.${name}`);
      if (!full) continue;
      for (const data of addresses) {
        const reverse = reverseName(data);
        this.#reverse.set(reverse, [...(this.#reverse.get(reverse) ?? []), { type: TYPE.PTR, ttl: TTL, data: full }]);
      }
    }
  }

  #add(name: string, data: Uint8Array): void {
    let named = this.#named.get(name);
    if (!named) this.#named.set(name, (named = { v4: [], v6: [], all: [], turn: 0 }));
    const answer: Answer = { type: data.length === 4 ? TYPE.A : TYPE.AAAA, ttl: TTL, data };
    (data.length === 4 ? named.v4 : named.v6).push(answer);
    named.all.push(answer);
  }

  /**
   * Undefined where this zone does not know. Of a name that it knows it knows all: a question for what is not there has
   * an empty answer, and nobody else is asked.
   */
  answer({ name, type }: Query): Response | undefined {
    const named = this.#named.get(name);
    if (named) {
      const answers = type === TYPE.A ? named.v4 : type === TYPE.AAAA ? named.v6 : type === TYPE.ANY ? named.all : [];
      if (answers.length === 0) return NOTHING;
      named.turn = (named.turn + 1) % answers.length;
      return { rcode: RCODE.NOERROR, authoritative: true, answers, first: named.turn };
    }
    if (!name.endsWith(".arpa")) return undefined;
    const answers = this.#reverse.get(name);
    if (answers) return type === TYPE.PTR || type === TYPE.ANY ? { ...NOTHING, answers } : NOTHING;
    const bytes = addressOfReverse(name);
    const address = bytes && addressOfBytes(bytes);
    return address && this.#subnets.some((subnet) => contains(subnet, address)) ? NOBODY : undefined;
  }
}

/** As it is read in a message; none where it is no name. */
function plainName(text: string): string[] {
  const bytes = encodeName(text);
  const name = bytes && readName(bytes, 0, bytes.length)?.name;
  return name === undefined || name === "" ? [] : [name];
}

/** TKEY, TSIG, IXFR, AXFR, MAILB, MAILA: no questions of those who look up names. */
const [FIRST_META, LAST_META] = [249, 254];

/**
 * What is known here of a question; undefined: somebody else has to be asked.
 * @param zones of whoever asks: the first that knows counts
 */
export function answerFrom(zones: readonly Zone[], query: Query): Response | undefined {
  for (const zone of zones) {
    const found = query.class === CLASS_IN ? zone.answer(query) : undefined;
    if (found) return found;
  }
  if (query.class !== CLASS_IN) return { rcode: RCODE.REFUSED };
  const isMeta = (query.type >= FIRST_META && query.type <= LAST_META) || query.type === TYPE.OPT || query.type === 0;
  return isMeta ? { rcode: RCODE.NOTIMP } : undefined;
}
