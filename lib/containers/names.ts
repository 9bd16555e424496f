/** What containers are called, and what is said of names that nobody has. @module */
import { show, TsboxError } from "../../syscalls/index.ts";

/** As Docker says it. */
export const notFound = (nameOrId: string): TsboxError =>
  new TsboxError(`No such container: ${typeof nameOrId === "string" ? nameOrId : show(nameOrId)}`, {
    code: "container_not_found",
  });

/** @throws TsboxError `name_invalid` */
export function checkName(name: unknown): string {
  if (typeof name === "string" && /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) return name.replace(/^\//, "");
  throw new TsboxError(
    `Invalid container name (${typeof name === "string" ? name : show(name)}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    { code: "name_invalid" },
  );
}

/** 64 hexadecimal digits; not all of the first twelve are decimal, so that it is never taken for a number. */
export function newId(): string {
  for (;;) {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
    if (/[a-f]/.test(id.slice(0, 12))) return id;
  }
}

export const isId = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

const ADJECTIVES =
  "able agile amber ample apt azure balmy blithe bold brave breezy bright brisk calm candid cheery chief civil clear clever cosy crisp curious daring deft dapper eager early earnest easy elated even fair fancy fast fine fleet fluent fond frank free fresh frosty gentle glad golden good grand happy hardy hazel hearty honest humble ideal jolly jovial just keen kind lively loyal lucid lucky lunar magic mellow merry mighty mild modest neat nimble noble open patient placid plucky polite prime proud pure quick quiet rapid ready regal robust rosy royal rustic serene sharp shiny silent silver sincere smart snug sober solar solid sound spry stable stark steady stout sturdy subtle sunny sure swift tender tidy tough tranquil trusty upbeat vivid warm wise witty young zesty".split(
    " ",
  );
const NOUNS =
  "acorn alder anchor apple aspen badger barley basil beacon beaver beech birch bison bridge brook canoe canyon cedar cherry cliff clover comet copper coral cricket crane creek dahlia dolphin dune eagle ember falcon fern finch fjord fox garnet gecko geyser ginger glacier grove gull harbor hare hawk hazelnut heron hill holly ibis iris island ivy jasmine juniper kestrel kite lagoon lantern larch lark laurel lemon lichen lilac linden lion lotus lynx magpie maple marlin marsh meadow mint moose moss myrtle oak oasis olive orca orchid osprey otter owl panda pebble pepper petrel pine plum pond poplar poppy puffin quail quartz raven reef river robin rowan sage salmon seal sloop sparrow spruce squirrel stork summit swan tern thistle thyme tiger topaz trout tulip tundra valley violet walnut willow wren yew zephyr".split(
    " ",
  );

/** Two words, and a digit from the `attempt`th time on that one was taken. */
export function newName(attempt: number): string {
  const [first, second] = crypto.getRandomValues(new Uint32Array(2));
  const words = `${pick(ADJECTIVES, first)}_${pick(NOUNS, second)}`;
  // with tens of thousands of containers most pairs are taken
  return attempt === 0 ? words : `${words}${Math.floor(Math.random() * 10 ** Math.ceil(attempt / 2))}`;
}

const pick = (words: readonly string[], random = 0): string => words[random % words.length] as string;
