// The official Node SDK on the Responses API, unmodified. Arguments: where the package is, the base URL, scenarios as
// JSON. Each scenario is a call, or a list of turns over one WebSocket; its outcome is printed as a line of JSON.
import { pathToFileURL } from "node:url";

const [folder, baseURL, scenarios] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(`${folder}/openai/${file}`));
const { default: OpenAI } = await load("index.mjs");
const { ResponsesWS } = await load("resources/responses/ws.mjs");
const client = new OpenAI({ baseURL, apiKey: "dummy", maxRetries: 0, timeout: 60_000 });
const model = "codewhisperer";

const summary = (response) => ({
  text: response.output.flatMap((item) => (item.type === "message" ? item.content.map((part) => part.text) : [])).join(""),
  calls: response.output.filter((item) => item.arguments !== undefined).map((item) => [item.name, item.arguments]),
  status: response.status,
  usage: response.usage?.total_tokens > 0,
});

async function create(body) {
  if (!body.stream) return summary(await client.responses.create({ model, ...body }));
  let deltas = "";
  let last;
  for await (const event of await client.responses.create({ model, ...body })) {
    if (event.type === "response.output_text.delta") deltas += event.delta;
    last = event;
  }
  return { ...summary(last.response), deltas };
}

const helper = async (body) => summary(await client.responses.stream({ model, ...body }).finalResponse());

// `previous` of a turn is the number of the turn that it goes on from.
async function socket(turns) {
  const connection = new ResponsesWS(client);
  const responses = [];
  for (const { previous, ...body } of turns) {
    const on = previous === undefined ? {} : { previous_response_id: responses[previous].id };
    connection.send({ type: "response.create", model, store: false, ...on, ...body });
    responses.push(await ending(connection));
  }
  connection.close();
  return responses.map((one) => (one.error && !one.id ? { code: one.error.code, status: one.status } : summary(one)));
}

function ending(connection) {
  return new Promise((resolve) => {
    const ended = (event) => {
      if (event.type === "error" || ["completed", "incomplete", "failed"].includes(event.response?.status)) {
        connection.off("event", ended);
        resolve(event.response ?? event);
      }
    };
    connection.on("event", ended);
    connection.on("error", () => {});
  });
}

const calls = { create, helper, socket };

for (const [call, argument] of JSON.parse(scenarios)) {
  let outcome;
  try {
    outcome = await calls[call](argument);
  } catch (error) {
    outcome = { error: error.constructor.name, status: error.status ?? null, code: error.code ?? null };
  }
  console.log(JSON.stringify(outcome));
}
process.exit(0);
