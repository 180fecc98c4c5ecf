// The official NATS client and its services package, unmodified. Arguments: where the packages are, how to connect and
// scenarios, both as JSON. Each scenario is a call; its outcome is printed as a line of JSON.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, place, scenarios] = process.argv.slice(2);
const { resolve } = createRequire(`${folder}/`);
const load = (name) => import(pathToFileURL(resolve(name)));
const { connect, nkeyAuthenticator } = await load("@nats-io/transport-node");
const { ServiceError, Svcm } = await load("@nats-io/services");
const { seedFile, ...options } = JSON.parse(place);
if (seedFile) {
  // A seed's file ends with a newline, which is no part of it.
  options.authenticator = nkeyAuthenticator(Buffer.from((await readFile(seedFile, "utf8")).trim()));
}
const subject = "openai_requests";
const patience = 30_000;
const nc = await connect(options);
const services = new Svcm(nc).client({ strategy: "count", maxMessages: 1, maxWait: patience });

const shown = (message) => {
  const error = ServiceError.toServiceError(message);
  return {
    data: message.string(),
    status: message.headers.get("Cw-Status"),
    sequence: message.headers.get("Cw-Sequence"),
    error: error && { code: error.code, message: error.message },
  };
};

const request = async (body) => shown(await nc.request(subject, body, { timeout: patience }));

async function stream(body) {
  const messages = [];
  const answer = await nc.requestMany(subject, body, { strategy: "sentinel", maxWait: patience });
  for await (const message of answer) messages.push(shown(message));
  return messages;
}

// Its own subscription, which ends with the loop: the shared one of all requests would still be listening.
async function leave(body) {
  const options = { strategy: "sentinel", maxWait: patience, noMux: true };
  for await (const message of await nc.requestMany(subject, body, options)) return shown(message);
}

async function one(answers) {
  for await (const answer of await answers) return answer;
}

// The numbers, once `wanted` are among them.
async function stats(wanted) {
  const until = Date.now() + patience;
  for (;;) {
    const [ask] = (await one(services.stats("cw-proxy"))).endpoints;
    const there = Object.entries(wanted ?? {}).every(([name, value]) => ask.data[name] === value);
    if (there || Date.now() > until) return ask;
  }
}

const calls = {
  request,
  stream,
  leave,
  stats,
  ping: () => one(services.ping("cw-proxy")),
  info: () => one(services.info("cw-proxy")),
};

for (const [call, argument] of JSON.parse(scenarios)) {
  let outcome;
  try {
    outcome = await calls[call](argument);
  } catch (error) {
    outcome = { error: error.constructor.name };
  }
  console.log(JSON.stringify(outcome));
}
await nc.close();
