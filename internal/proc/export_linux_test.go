package proc

// ListeningByTable is the fallback of Listening, which otherwise only a kernel
// without sock_diag would test.
var ListeningByTable = listening
