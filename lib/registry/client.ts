/** Requests to the hosts of a registry: with what each wants to see, over what each speaks, again where that may help. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { Authorizer, type Credentials } from "./authorizer.ts";
import { chooseChallenge } from "./challenge.ts";
import { Exchanger, type Exchange, type RequestOptions } from "./exchange.ts";
import { ConnectionError } from "./failure.ts";
import type { Endpoint } from "./hosts.ts";
import { persist, type Patience } from "./patience.ts";

export interface EndpointRequest extends Omit<RequestOptions, "url" | "domain" | "authorization"> {
  /** Behind `/v2/NAME/`: `manifests/latest`; or all of it, where a registry has said so. */
  at: string | URL;
  /** Answers that are wanted; all others are errors. */
  accept: readonly number[];
  /** What is to be done to the repository, and to others. */
  scopes: readonly string[];
}

export const pullScope = (path: string): string => `repository:${path}:pull`;
export const pushScope = (path: string): string => `repository:${path}:pull,push`;

export class Client {
  readonly exchanger: Exchanger;
  readonly patience: Patience;
  readonly #credentials: (domain: string, path: string) => Promise<Credentials | undefined>;
  readonly #authorizers = new Map<string, Authorizer>();
  /** Of hosts that registries have redirected us to. */
  readonly #nobodies = new Map<string, Authorizer>();
  readonly #origins = new Map<string, Promise<URL>>();

  constructor(
    exchanger: Exchanger,
    patience: Patience,
    credentials: (domain: string, path: string) => Promise<Credentials | undefined>,
  ) {
    this.exchanger = exchanger;
    this.patience = patience;
    this.#credentials = credentials;
  }

  /** Credentials may be of a part of a registry. */
  authorizer({ host, domain, path, isMirror }: Endpoint): Authorizer {
    const key = `${host}/${path}`;
    let found = this.#authorizers.get(key);
    // a mirror is not shown what is of the registry that it stands for
    found ??= new Authorizer(this.exchanger, () => this.#credentials(isMirror ? host : domain, path));
    this.#authorizers.set(key, found);
    return found;
  }

  /** @throws TsboxError for no answer, and for one that is not wanted */
  send(endpoint: Endpoint, request: EndpointRequest): Promise<Exchange> {
    return persist(() => this.sendOnce(endpoint, request), this.patience, request.action, request.signal);
  }

  /** The same, without another try. */
  async sendOnce(endpoint: Endpoint, request: EndpointRequest): Promise<Exchange> {
    const origin = await this.origin(endpoint, request);
    const url =
      typeof request.at === "string"
        ? new URL(`/v2/${endpoint.path && `${endpoint.path}/`}${request.at}`, origin)
        : request.at;
    const exchange = await this.#authorized(
      endpoint,
      { ...request, domain: nameOf(endpoint), url },
      origin,
      request.scopes,
    );
    if (request.accept.includes(exchange.response.status)) return exchange;
    throw await exchange.refusal();
  }

  async #authorized(
    endpoint: Endpoint,
    options: RequestOptions,
    origin: URL,
    scopes: readonly string[],
  ): Promise<Exchange> {
    const authorizer = this.authorizer(endpoint);
    // where a registry has sent us elsewhere, its own business goes no further
    if (options.url.origin !== origin.origin) return this.exchanger.exchange(options);
    const shown = await authorizer.authorization(options, scopes, options.signal);
    const exchange = await this.exchanger.exchange({ ...options, authorization: shown });
    if (exchange.response.status !== 401) return exchange;
    if (exchange.url.origin !== origin.origin) return this.#asNobody(exchange, options);
    const { response, url } = exchange;
    const header = await authorizer.answer(options, response, url, scopes, shown, options.signal).catch((error) => {
      exchange.close();
      throw error;
    });
    if (header === undefined) return exchange;
    exchange.close();
    return this.exchanger.exchange({ ...options, authorization: header });
  }

  /** A host that we were redirected to may give tokens to everybody: what is known of the first one is not shown there. */
  async #asNobody(exchange: Exchange, options: RequestOptions): Promise<Exchange> {
    const { response, url } = exchange;
    const attempt = { ...options, domain: url.host, hasCredentials: false };
    const scopes = chooseChallenge(response.headers.get("www-authenticate"))?.parameters.get("scope")?.split(" ") ?? [];
    let authorizer = this.#nobodies.get(url.origin);
    if (!authorizer)
      this.#nobodies.set(url.origin, (authorizer = new Authorizer(this.exchanger, async () => undefined)));
    const header = await authorizer.answer(attempt, response, url, scopes, undefined, options.signal).catch((error) => {
      exchange.close();
      throw error;
    });
    if (header === undefined) return exchange;
    exchange.close();
    return this.exchanger.exchange({ ...attempt, url, authorization: header });
  }

  /** `https://host`, or `http://host` of one that may do without TLS, and does. */
  async origin(endpoint: Endpoint, request: Pick<RequestOptions, "action" | "signal">): Promise<URL> {
    const { host, scheme } = endpoint;
    if (scheme !== undefined || !this.exchanger.hosts.isInsecure(host)) return urlOf(scheme ?? "https", host);
    let found = this.#origins.get(host);
    if (!found) {
      found = this.#findOrigin(endpoint, request);
      this.#origins.set(host, found);
      found.catch(() => this.#origins.get(host) === found && this.#origins.delete(host));
    }
    return found;
  }

  async #findOrigin({ host, domain }: Endpoint, { action }: Pick<RequestOptions, "action">): Promise<URL> {
    const secure = urlOf("https", host);
    try {
      const exchange = await this.exchanger.exchange({ action, domain, url: new URL("/v2/", secure), follow: false });
      exchange.close();
      return secure;
    } catch (error) {
      const vouchedFor = this.exchanger.hosts.tls(host)?.ca !== undefined;
      if (error instanceof ConnectionError && error.isPlain && !vouchedFor) return urlOf("http", host);
      throw error;
    }
  }
}

/** Where somebody would have to log in. */
const nameOf = ({ domain, host, isMirror }: Endpoint): string => (isMirror ? host : domain);

/** Not all that a name allows is a host: `999.1.1.1`, `[::::]`, `localhost:99999`. @throws TsboxError `reference_invalid` */
function urlOf(scheme: "http" | "https", host: string): URL {
  const url = `${scheme}://${host}`;
  if (URL.canParse(url)) return new URL(url);
  throw new TsboxError(`use the registry ${show(host)}: neither the name of a host nor an address`, {
    code: "reference_invalid",
  });
}
