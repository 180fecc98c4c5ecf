// Example of consuming the streaming API from a frontend
const fetchStream = async () => {
  const response = await fetch('https://your-api-url/api/completions/stream', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({
      messages: [
        {role: 'system', content: 'You are a helpful assistant.'},
        {role: 'user', content: 'Write a short story about a robot.'}
      ],
      model: 'gpt-4-turbo-preview',
    }),
  });

  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  
  while (true) {
    const {value, done} = await reader.read();
    if (done) break;
    
    const chunk = decoder.decode(value);
    const lines = chunk.split('\n\n');
    
    for (const line of lines) {
      if (line.startsWith('data: ')) {
        const jsonStr = line.replace('data: ', '');
        if (jsonStr === '[DONE]') break;
        
        try {
          const json = JSON.parse(jsonStr);
          console.log(json.content);
          // Update your UI with the streamed content
        } catch (e) {
          console.error('Error parsing JSON:', e);
        }
      }
    }
  }
};

fetchStream();
