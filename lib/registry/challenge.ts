/**
 * What a registry asks for in a `WWW-Authenticate` header.
 * @module
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate
 */

export interface Challenge {
  /** `bearer`, `basic`, …: in lower case. */
  scheme: string;
  /** By names in lower case: realm, service, scope, error. */
  parameters: Map<string, string>;
}

/** Longer ones are cut: no registry needs them. */
const MAX_HEADER = 8192;

const SPACE = /[ \t]*/y;
const COMMAS = /[ \t,]*/y;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
/** base64 and the like, behind `Negotiate`. */
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/** The challenges of a header, which may be several headers joined by commas; what is malformed ends it. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, MAX_HEADER);
  const found: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(text) ?? undefined;
    at += match?.[0].length ?? 0;
    return match;
  };
  /** `name=value`, unless it is something else, which is then left. */
  const parameter = (): [string, string] | undefined => {
    const before = at;
    const name = take(TOKEN)?.[0];
    take(SPACE);
    if (name !== undefined && text[at] === "=") {
      at++;
      take(SPACE);
      const quoted = take(QUOTED);
      const value = quoted ? (quoted[1] as string).replace(/\\(.)/g, "$1") : take(TOKEN)?.[0];
      if (value !== undefined) return [name.toLowerCase(), value];
    }
    at = before;
    return undefined;
  };

  for (take(COMMAS); at < text.length; take(COMMAS)) {
    const scheme = take(TOKEN)?.[0].toLowerCase();
    take(SPACE);
    if (scheme === undefined || text[at] === "=") break;
    const challenge: Challenge = { scheme, parameters: new Map() };
    found.push(challenge);
    for (let pair = parameter(); pair; take(COMMAS), pair = parameter()) {
      // the first counts: another would be one that somebody has added
      if (!challenge.parameters.has(pair[0])) challenge.parameters.set(...pair);
    }
    if (challenge.parameters.size === 0) take(TOKEN68);
  }
  return found;
}

/** That which is answered: a token rather than a password, where a registry takes both. */
export function chooseChallenge(header: string | null): Challenge | undefined {
  const challenges = parseChallenges(header ?? "");
  return (
    challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm")) ??
    challenges.find(({ scheme }) => scheme === "basic")
  );
}
