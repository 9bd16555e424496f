/** The domain name system: what is asked, who knows, and who is asked. @module */
export { Cache } from "./cache.ts";
export * from "./message.ts";
export { addressOfReverse, encodeName, readName, reverseName } from "./name.ts";
export { answeredAddresses, readReply, type AnsweredAddress, type Reply } from "./reply.ts";
export { DNS_PORT, upstreamOf, upstreamsIn, type Upstream } from "./resolv-conf.ts";
export { answerFrom, Zone, type Host } from "./zone.ts";
export { Forwarder } from "./forwarder.ts";
export { Resolver, type Asker, type Resolving } from "./resolver.ts";
export { NameServer, type FindAsker, type ServedSockets } from "./server.ts";
export { StreamAsker } from "./stream.ts";
