/**
 * What a host wants to see in an `Authorization` header: a password, or a token of whoever it names, for what is to be
 * done. Tokens are kept until they expire, and fetched once for all who wait for the same.
 * @module
 * @see https://distribution.github.io/distribution/spec/auth/token/, …/oauth/
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { chooseChallenge, type Challenge } from "./challenge.ts";
import { abortError, locationOf, throwIfAborted, type Exchanger, type RequestOptions } from "./exchange.ts";
import { type Attempt } from "./failure.ts";

/** A name and a password; or an identity token instead of the password; or a token that is shown as it is. */
export interface Credentials {
  username?: string;
  password?: string;
  identityToken?: string;
  registryToken?: string;
}

const MAX_TOKEN_ANSWER = 256 * 1024;
/** Of a scope that a registry asks for besides ours. */
const MAX_SCOPE = 1024;
/** Where a token server does not say how long: the specification's. */
const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 86_400;
/** What fits into a header as it is. */
const TOKEN = /^[\x21-\x7e]+$/;

interface Token {
  authorization: string;
  /** Of `performance.now()`: not as others' clocks go. */
  untilMs: number;
  /** Only where it was asked for. */
  identityToken?: string;
}

export class Authorizer {
  readonly #exchanger: Exchanger;
  readonly #credentials: () => Promise<Credentials | undefined>;
  #found: Promise<Credentials | undefined> | undefined;
  #challenge: Challenge | undefined;
  #askedBy: URL | undefined;
  readonly #tokens = new Map<string, Promise<Token>>();
  /** What the registry wants as well, by what was to be done. */
  readonly #scopes = new Map<string, string>();
  hasCredentials = false;

  /** @param credentials looked for once somebody wants to see them */
  constructor(exchanger: Exchanger, credentials: () => Promise<Credentials | undefined>) {
    this.#exchanger = exchanger;
    this.#credentials = credentials;
  }

  /** The header, if it is known by now that one is wanted. */
  async authorization(attempt: Attempt, scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
    if (!this.#challenge) return undefined;
    throwIfAborted(attempt.action, signal);
    return unlessAborted(this.#header(attempt, scopes), attempt.action, signal);
  }

  /**
   * The header for a host that has answered 401; undefined where there is nothing else to show it.
   * @param shown what it has refused
   */
  async answer(
    attempt: Attempt,
    response: Response,
    url: URL,
    scopes: readonly string[],
    shown: string | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const challenge = chooseChallenge(response.headers.get("www-authenticate"));
    if (!challenge) return undefined;
    [this.#challenge, this.#askedBy] = [challenge, url];
    const key = scopes.join(" ");
    const wanted = challenge.parameters.get("scope");
    if (wanted !== undefined && wanted.length <= MAX_SCOPE) this.#scopes.set(key, wanted);
    if (shown !== undefined) await this.#forget(key, shown);
    const header = await unlessAborted(this.#header(attempt, scopes), attempt.action, signal);
    return header === shown ? undefined : header;
  }

  /** An identity token instead of the password, if the registry has such; for `login`. */
  async identityToken(attempt: Attempt): Promise<string | undefined> {
    if (this.#challenge?.scheme !== "bearer") return undefined;
    return (await this.#fetch(attempt, [], true)).identityToken;
  }

  async #forget(key: string, shown: string): Promise<void> {
    const kept = this.#tokens.get(key);
    const token = await kept?.catch(() => undefined);
    // somebody else may have got a new one by now
    if (token?.authorization === shown && this.#tokens.get(key) === kept) this.#tokens.delete(key);
  }

  async #header(attempt: Attempt, scopes: readonly string[]): Promise<string | undefined> {
    const credentials = await (this.#found ??= this.#credentials());
    this.hasCredentials = credentials !== undefined;
    attempt.hasCredentials = this.hasCredentials;
    if (this.#challenge?.scheme === "basic") return basic(credentials);
    if (credentials?.registryToken !== undefined) return bearer(attempt, credentials.registryToken);
    const key = scopes.join(" ");
    const kept = this.#tokens.get(key);
    if (kept) {
      const token = await kept;
      if (token.untilMs > performance.now()) return token.authorization;
      if (this.#tokens.get(key) === kept) this.#tokens.delete(key);
      return this.#header(attempt, scopes);
    }
    const fetched = this.#fetch(attempt, scopes, false);
    this.#tokens.set(key, fetched);
    fetched.catch(() => this.#tokens.get(key) === fetched && this.#tokens.delete(key));
    return (await fetched).authorization;
  }

  async #fetch(attempt: Attempt, scopes: readonly string[], offline: boolean): Promise<Token> {
    const { parameters } = this.#challenge as Challenge;
    const action = `${attempt.action}: get a token`;
    const realm = locationOf(action, parameters.get("realm") as string, this.#askedBy as URL, "sends for a token");
    const credentials = await this.#found;
    const wanted = this.#scopes.get(scopes.join(" "))?.split(" ") ?? [];
    const all = [...scopes, ...wanted.filter((scope) => scope !== "" && !scopes.some((own) => covers(own, scope)))];
    const request = tokenRequest(realm, parameters.get("service"), all, credentials, offline);
    const asked = performance.now();
    // nothing of the request that needs the token: that is for the registry
    const { domain, hasCredentials = false } = attempt;
    const options = { action, domain, hasCredentials, ...request };
    return readToken(attempt, await this.#ask(options, credentials), asked, realm.host);
  }

  /** Not every token server takes the newer way of asking, with identity tokens. */
  async #ask(options: RequestOptions, credentials: Credentials | undefined): Promise<Uint8Array> {
    const exchange = await this.#exchanger.exchange(options);
    const { status } = exchange.response;
    if (status === 200) return exchange.bytes(MAX_TOKEN_ANSWER, "the answer");
    const error = await exchange.refusal();
    if (options.method !== "POST" || ![404, 405].includes(status)) throw error;
    const url = new URL(options.url);
    const form = new URLSearchParams(options.body as string);
    for (const name of ["service", "scope"]) if (form.has(name)) url.searchParams.set(name, form.get(name) as string);
    const { method: _method, body: _body, headers: _headers, ...rest } = options;
    const password = { username: credentials?.username ?? "", password: credentials?.identityToken ?? "" };
    const again = await this.#exchanger.exchange({ ...rest, url, authorization: basic(password) });
    if (again.response.status === 200) return again.bytes(MAX_TOKEN_ANSWER, "the answer");
    again.close();
    throw error;
  }
}

const CLIENT = "tsbox";

/** `repository:a:pull,push` covers `repository:a:pull`. */
function covers(own: string, other: string): boolean {
  const [cut, otherCut] = [own.lastIndexOf(":"), other.lastIndexOf(":")];
  const actions = own.slice(cut + 1).split(",");
  const others = other.slice(otherCut + 1).split(",");
  return own.slice(0, cut) === other.slice(0, otherCut) && others.every((action) => actions.includes(action));
}

/** With an identity token the newer way, which sends it in the body; with a password, or without, the way all know. */
function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  offline: boolean,
): Omit<RequestOptions, keyof Attempt> {
  if (credentials?.identityToken !== undefined) {
    const form = new URLSearchParams({ grant_type: "refresh_token", client_id: CLIENT });
    form.set("refresh_token", credentials.identityToken);
    if (service !== undefined) form.set("service", service);
    if (scopes.length > 0) form.set("scope", scopes.join(" "));
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    return { method: "POST", url: realm, headers, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  if (credentials?.username) url.searchParams.set("account", credentials.username);
  if (offline) {
    url.searchParams.set("offline_token", "true");
    url.searchParams.set("client_id", CLIENT);
  }
  return { url, authorization: basic(credentials) };
}

function readToken(attempt: Attempt, bytes: Uint8Array, asked: number, host: string): Token {
  let value: Record<string, unknown>;
  try {
    value = Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    value = {};
  }
  const { token, access_token, expires_in, refresh_token } = value;
  const text = token || access_token;
  if (typeof text !== "string")
    throw new TsboxError(`${attempt.action}: ${host} answers without a token`, { code: "registry_error" });
  const seconds =
    typeof expires_in === "number" && expires_in > 0 ? Math.min(expires_in, MAX_SECONDS) : DEFAULT_SECONDS;
  return {
    authorization: bearer(attempt, text),
    // a little earlier: it has to hold until the request arrives
    untilMs: asked + (seconds - Math.min(10, seconds / 10)) * 1000,
    ...(typeof refresh_token === "string" && refresh_token !== "" ? { identityToken: refresh_token } : {}),
  };
}

function bearer({ action }: Attempt, token: string): string {
  if (TOKEN.test(token)) return `Bearer ${token}`;
  throw new TsboxError(`${action}: the token ${show(token)} is none`, { code: "registry_error" });
}

function basic(credentials: Credentials | undefined): string | undefined {
  if (credentials?.username === undefined || credentials.password === undefined) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

/** What several wait for goes on when one of them does not want it any more. */
function unlessAborted<T>(work: Promise<T>, action: string, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortError(action, signal));
    signal.addEventListener("abort", onAbort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
