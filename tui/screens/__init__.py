"""One file a screen. Each asks the app for data and shows it; none touches the client itself."""
