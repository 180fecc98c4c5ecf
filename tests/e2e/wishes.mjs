// The official Node SDK, unmodified: what a request may wish. Arguments: where the package is, the base URL.
// Each scenario prints a line of JSON: its name and what came of it.
import { pathToFileURL } from "node:url";

const [entry, baseURL] = process.argv.slice(2);
const { default: OpenAI } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL, apiKey: "dummy", maxRetries: 0, timeout: 60_000 });
const model = "codewhisperer";

const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { type: "function", function: { name: "get_weather", description: "d", parameters: city } };
const time = { type: "function", function: { name: "get_time", description: "d", parameters: city } };
const user = (content) => ({ role: "user", content });
const ask = (messages, more = {}) => client.chat.completions.create({ model, messages, ...more });
const result = (call, content) => ({ role: "tool", tool_call_id: call.id, content });
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

// The SDK's own accumulator folds a stream.
async function streamed(messages, more = {}) {
  return client.chat.completions.stream({ model, messages, ...more }).finalChatCompletion();
}

async function roundTrip(fold) {
  const messages = [user("What is the weather in Oslo?")];
  const { message } = (await fold(messages, { tools: [weather] })).choices[0];
  messages.push(message, result(message.tool_calls[0], "sunny"));
  const last = await fold(messages, { tools: [weather] });
  return { called: message.tool_calls[0].function, said: last.choices[0].message.content };
}

async function fortyTurns() {
  const messages = [];
  const cities = [..."ABCDEFGHIJ"];
  for (const name of cities) {
    messages.push(user(`Remember the token T-${name}. What is the weather in ${name}?`));
    const { message } = (await ask(messages, { tools: [weather] })).choices[0];
    messages.push(message, result(message.tool_calls[0], `W-${name}`));
    messages.push((await ask(messages, { tools: [weather] })).choices[0].message);
  }
  messages.push(user("List every remembered token"));
  return { turns: messages.length - 1, said: (await ask(messages)).choices[0].message.content };
}

async function equalCalls() {
  const { message, finish_reason } = (await streamed([user("Play the script tools-identical")], { tools: [weather] }))
    .choices[0];
  const calls = message.tool_calls;
  return { same: calls.map((call) => call.function), ids: new Set(calls.map((call) => call.id)).size, finish_reason };
}

async function threeAnswers() {
  const answer = await streamed([user("Count from 1 to 9")], { n: 3 });
  return answer.choices.map((choice) => [choice.index, choice.message.content, choice.finish_reason]);
}

async function parsed() {
  const schema = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
  const format = { type: "json_schema", json_schema: { name: "person", schema, strict: true } };
  const answer = await client.chat.completions.parse({
    model,
    messages: [user('Answer with the json {"age": 36}')],
    response_format: format,
  });
  return JSON.parse(answer.choices[0].message.content);
}

async function image() {
  const content = [
    { type: "text", text: "Describe the attached image" },
    { type: "image_url", image_url: { url: `data:image/png;base64,${PNG}` } },
  ];
  return (await ask([user(content)])).choices[0].message.content;
}

async function stopped() {
  const answer = await streamed([user("Count from 1 to 50")], { stop: [" 17 1"] });
  return answer.choices[0].message.content;
}

async function usage() {
  let last;
  for await (const chunk of await ask([user("Count from 1 to 9")], { stream: true, stream_options: { include_usage: true } }))
    last = chunk;
  return { choices: last.choices, counted: last.usage.total_tokens > 0 };
}

const scenarios = {
  roundTrip: () => roundTrip(ask),
  roundTripStreamed: () => roundTrip(streamed),
  fortyTurns,
  equalCalls,
  threeAnswers,
  parsed,
  image,
  stopped,
  usage,
  developer: async () =>
    (await ask([{ role: "developer", content: "The system token is S-7." }, user("State the system token")])).choices[0]
      .message.content,
  named: async () =>
    (
      await ask([user('Call tool get_time with {"city": "Oslo"}')], {
        tools: [weather, time],
        tool_choice: { type: "function", function: { name: "get_time" } },
      })
    ).choices[0].message.tool_calls.map((call) => call.function.name),
  length: async () => (await ask([user("Count from 1 to 200")], { max_completion_tokens: 20 })).choices[0].finish_reason,
  logprobs: () => ask([user("hi")], { logprobs: true }),
  truncated: () => streamed([user("Play the script tool-without-stop")], { tools: [weather] }),
};

for (const [name, run] of Object.entries(scenarios)) {
  let outcome;
  try {
    outcome = await run();
  } catch (error) {
    outcome = { error: error instanceof OpenAI.APIError, code: error.code ?? null, param: error.param ?? null };
  }
  console.log(JSON.stringify([name, outcome]));
}
process.exit(0);
