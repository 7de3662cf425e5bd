exports.echo = (event, context, callback) => callback(null, { event });
