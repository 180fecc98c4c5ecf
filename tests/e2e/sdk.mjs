// The official Node SDK, unmodified. Arguments: where the package is, the base URL, scenarios as JSON.
// Each scenario is a call; its outcome is printed as a line of JSON.
import { pathToFileURL } from "node:url";

const [entry, baseURL, scenarios] = process.argv.slice(2);
const { default: OpenAI } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL, apiKey: "dummy", maxRetries: 0, timeout: 60_000 });

async function chat(body) {
  const response = await client.chat.completions.create({ model: "codewhisperer", ...body });
  if (!body.stream) return { text: response.choices[0].message.content, reason: response.choices[0].finish_reason };
  let text = "";
  let reason = null;
  let usage = null;
  for await (const chunk of response) {
    text += chunk.choices[0]?.delta?.content || "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
    usage = chunk.usage ?? usage;
  }
  return { text, reason, usage: usage && usage.total_tokens > 0 };
}

async function models() {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  return { ids };
}

const calls = { chat, models, model: async (name) => ({ id: (await client.models.retrieve(name)).id }) };

for (const [call, argument] of JSON.parse(scenarios)) {
  let outcome;
  try {
    outcome = await calls[call](argument);
  } catch (error) {
    outcome = {
      error: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      isApiError: error instanceof OpenAI.APIError,
    };
  }
  console.log(JSON.stringify(outcome));
}
process.exit(0);
