// Anthropic's official Node SDK, unmodified. Arguments: where the package is, the proxy's URL.
// Each scenario's outcome is printed as a line of JSON: its name and what came of it.
import { pathToFileURL } from "node:url";

const [entry, baseURL] = process.argv.slice(2);
const { default: Anthropic } = await import(pathToFileURL(entry));
const client = new Anthropic({ baseURL, apiKey: "dummy", maxRetries: 0, timeout: 60_000 });
const base = { model: "claude-sonnet-4-5", max_tokens: 1024 };
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const tools = [
  {
    name: "get_weather",
    description: "Weather",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

const user = (content) => ({ role: "user", content });
const said = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
const create = (content, more = {}) => client.messages.create({ ...base, messages: [user(content)], ...more });

async function roundTrip(ask) {
  const messages = [user("What is the weather in Oslo?")];
  const asked = await ask({ ...base, messages, tools });
  const use = asked.content.find((block) => block.type === "tool_use");
  messages.push({ role: "assistant", content: asked.content });
  messages.push(user([{ type: "tool_result", tool_use_id: use.id, content: "sunny" }]));
  const answer = await ask({ ...base, messages, tools });
  return { stop: asked.stop_reason, called: [use.name, use.input], said: said(answer) };
}

const whole = (body) => client.messages.create(body);
const streamed = (body) => client.messages.stream(body).finalMessage();

const scenarios = {
  async answer() {
    const message = await create("Reply with exactly the token PONG");
    return { said: said(message), stop: message.stop_reason, counted: message.usage.output_tokens > 0 };
  },
  async stream() {
    let pieces = 0;
    const stream = client.messages.stream({ ...base, messages: [user("Count from 1 to 20")] });
    stream.on("text", () => pieces++);
    const message = await stream.finalMessage();
    return { said: said(message), pieces: pieces > 2, stop: message.stop_reason };
  },
  roundTrip: () => roundTrip(whole),
  roundTripStreamed: () => roundTrip(streamed),
  async image() {
    const source = { type: "base64", media_type: "image/png", data: png };
    return said(await create([{ type: "image", source }, { type: "text", text: "Describe the attached image" }]));
  },
  async thinking() {
    const message = await streamed({
      ...base,
      model: "claude-opus-4-5",
      max_tokens: 4096,
      thinking: { type: "enabled", budget_tokens: 2048 },
      messages: [user("Reply with exactly the token PONG")],
    });
    const [first, second] = message.content;
    return { types: [first.type, second?.type], thought: first.thinking?.length > 0, signed: Boolean(first.signature) };
  },
  async stopped() {
    const message = await create("Count from 1 to 20", { stop_sequences: [" 7"] });
    return [said(message), message.stop_reason, message.stop_sequence];
  },
  async counted() {
    const { input_tokens } = await client.messages.countTokens({ model: base.model, messages: [user("hello")] });
    return input_tokens > 0;
  },
  throttled: () => create("Play the script throttled"),
  tooLong: () => create("Play the script too-long"),
  async broken() {
    return said(await streamed({ ...base, messages: [user("Play the script exception")] }));
  },
};

for (const [name, scenario] of Object.entries(scenarios)) {
  let outcome;
  try {
    outcome = await scenario();
  } catch (error) {
    outcome = { error: error.constructor.name, status: error.status ?? null, type: error.error?.error?.type ?? null };
  }
  console.log(JSON.stringify([name, outcome]));
}
process.exit(0);
