/**
 * The other half of a registry's token authentication: asks for a name and a password, or an identity token, and signs
 * what may be done. https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/
 * @module
 */
import { createPrivateKey, sign } from "node:crypto";
import type { Certificate } from "./certificate.ts";

export interface TokenServerOptions {
  tls: boolean;
  certificate: Certificate;
  username: string;
  password: string;
  /** How long a token holds; the registry allows for a minute of clock skew. */
  tokenSeconds?: number;
  anonymousPull?: boolean;
}

export interface TokenServer extends AsyncDisposable {
  realm: string;
  service: string;
  issuer: string;
  /** What it was asked for: `GET repository:a/b:pull`, with the name of whoever asked behind it. */
  asked: string[];
  /** What stands for the password in `refresh_token` requests. */
  identityToken: string;
}

export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const { tls, certificate, username, password, tokenSeconds = 300, anonymousPull = false } = options;
  const [service, issuer, identityToken] = ["test-registry", "test-issuer", `identity-${crypto.randomUUID()}`];
  const asked: string[] = [];
  const isRight = (given: string | undefined) => given === `${username}:${password}`;

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls ? { tls: { cert: certificate.pem, key: certificate.keyPem } } : {}),
    async fetch(request) {
      const form =
        request.method === "POST"
          ? new URLSearchParams(await request.text())
          : new URLSearchParams(new URL(request.url).search);
      const scopes = form.getAll("scope").flatMap((scope) => scope.split(" "));
      const who = request.method === "POST" ? whoPosts(form) : whoGets(request.headers.get("authorization"));
      asked.push([request.method, ...scopes, who ?? "refused"].join(" "));
      if (who === undefined)
        return Response.json({ errors: [{ code: "UNAUTHORIZED", message: "wrong" }] }, { status: 401 });
      const access = scopes.filter(Boolean).map((scope) => granted(scope, who === "anonymous"));
      const token = signed({ iss: issuer, sub: who, aud: service, access }, tokenSeconds, certificate);
      const offline = form.get("access_type") === "offline" || form.get("offline_token") === "true";
      return Response.json({
        ...(request.method === "POST" ? { access_token: token } : { token }),
        expires_in: tokenSeconds,
        ...(offline ? { refresh_token: identityToken } : {}),
      });
    },
  });

  function whoGets(authorization: string | null): string | undefined {
    if (authorization === null) return "anonymous";
    return isRight(Buffer.from(authorization.replace(/^Basic /, ""), "base64").toString()) ? username : undefined;
  }
  function whoPosts(form: URLSearchParams): string | undefined {
    if (form.get("grant_type") === "refresh_token")
      return form.get("refresh_token") === identityToken ? username : undefined;
    return isRight(`${form.get("username")}:${form.get("password")}`) ? username : undefined;
  }
  /** Anybody may pull, where that was said; only the one user pushes. */
  function granted(scope: string, anonymous: boolean) {
    const [, type, name, actions = ""] = /^([^:]*):(.*):([^:]*)$/.exec(scope) ?? [];
    const wanted = actions.split(",");
    return { type, name, actions: anonymous ? wanted.filter((action) => anonymousPull && action === "pull") : wanted };
  }

  return {
    realm: `${tls ? "https" : "http"}://127.0.0.1:${server.port}/token`,
    service,
    issuer,
    asked,
    identityToken,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** A JSON web token, ES256, that carries the certificate of its key. */
function signed(claims: object, seconds: number, { der, keyPem }: Certificate): string {
  const now = Math.floor(Date.now() / 1000);
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const times = { exp: now + seconds, nbf: now - 5, iat: now, jti: crypto.randomUUID() };
  const text = `${encode({ typ: "JWT", alg: "ES256", x5c: [der] })}.${encode({ ...claims, ...times })}`;
  const signature = sign("sha256", Buffer.from(text), { key: createPrivateKey(keyPem), dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}
