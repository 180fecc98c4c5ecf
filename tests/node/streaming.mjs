// Drives the real client of the streaming service and prints what it yields, one JSON value per line.
//   node streaming.mjs ENDPOINT FORM TEXT...     FORM: rest | aws-json; one call per TEXT
// Each call ends with {"kind":"end"} or {"kind":"error",...}; the lines have the shape of tests/data/golden_frames.json.
import { AwsJson1_0Protocol } from "@aws-sdk/core/protocols";
import { CodeWhispererStreaming } from "@aws/codewhisperer-streaming-client";

const [endpoint, form, ...texts] = process.argv.slice(2);

const protocol =
  form === "aws-json"
    ? new AwsJson1_0Protocol({
        defaultNamespace: "com.amazon.aws.codewhisperer.streaming",
        serviceTarget: "AmazonCodeWhispererStreamingService",
        awsQueryCompatible: false,
      })
    : undefined;

const client = new CodeWhispererStreaming({
  endpoint,
  region: "us-east-1",
  token: { token: "a-token-of-the-test" },
  maxAttempts: 1,
  ...(protocol ? { protocol } : {}),
});

const print = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const plain = (value) => {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  return value;
};

const describe = (error) => ({
  kind: "error",
  name: error.name,
  message: error.message,
  ...(error.reason ? { reason: error.reason } : {}),
  ...(error.$metadata?.httpStatusCode ? { status: error.$metadata.httpStatusCode } : {}),
  ctor: error.constructor.name,
});

for (const text of texts) {
  try {
    const answer = await client.generateAssistantResponse({
      conversationState: {
        chatTriggerType: "MANUAL",
        conversationId: "conversation-of-the-test",
        currentMessage: { userInputMessage: { content: text, origin: "CLI" } },
      },
    });
    print({
      kind: "response",
      status: answer.$metadata.httpStatusCode,
      requestId: Boolean(answer.$metadata.requestId),
      ...(answer.conversationId ? { conversationId: answer.conversationId } : {}),
    });
    for await (const event of answer.generateAssistantResponseResponse) print({ kind: "event", event: plain(event) });
    print({ kind: "end" });
  } catch (error) {
    print(describe(error));
  }
}
// After a failed stream the client keeps a socket open.
process.exit(0);
